// The endpoints of the admin server that act on clients, and broadcast. Each takes the JSON of a
// request, and returns JSON.
import type { BroadcastResult } from '../broker/broadcast.js';
import type { DisconnectTarget } from '../broker/client-orders.js';
import type { PublishOptions } from '../broker/publishing.js';
import type { Revocation } from '../broker/revocations.js';
import { readBroadcast, readDisconnect, readRevoke, readUserChannels } from './publish-request.js';

/** The calls of the broker that the orders make. */
export interface OrderTarget {
  broadcast(
    channels: readonly string[],
    data: Uint8Array | string,
    options?: PublishOptions,
  ): Promise<readonly BroadcastResult[]>;
  disconnect(target: DisconnectTarget, reason: string): Promise<number>;
  changeChannels(user: string, channels: readonly string[], isOn: boolean): Promise<void>;
  revoke(revocation: Revocation): Promise<void>;
}

/** Handles the JSON of a request. */
export type Order = (target: OrderTarget, json: string) => Promise<string>;

export const broadcast: Order = async (target, json) => {
  const { channels, data, options } = readBroadcast(json);
  return JSON.stringify({ results: await target.broadcast(channels, data, options) });
};

/** Also of /kick, its older name. */
export const disconnect: Order = async (target, json) => {
  const { target: ended, reason } = readDisconnect(json);
  const count = await target.disconnect(ended, reason);
  if ('channel' in ended) return JSON.stringify({ subscribers: count });
  return JSON.stringify('member' in ended ? { ...ended, connections: count } : ended);
};

function changing(isOn: boolean): Order {
  return async (target, json) => {
    const { user, channels } = readUserChannels(json);
    await target.changeChannels(user, channels, isOn);
    return JSON.stringify({ user, channels });
  };
}

export const subscribe: Order = changing(true);
export const unsubscribe: Order = changing(false);

export const revoke: Order = async (target, json) => {
  await target.revoke(readRevoke(json));
  return '{"revoked":true}';
};
