// One message to many channels: one publish for each of them.
import { checkChannel } from '../base/channel-name.js';
import { MegacometError, type ErrorCode } from '../base/errors.js';
import { checkedList } from './client-orders.js';
import { checkData, checkOptions, type PublishOptions, type Receipt } from './publishing.js';

export const BROADCAST_CHANNELS_MAX = 1000;
/** Bytes of a message times its channels: each channel keeps a copy. */
const BROADCAST_BYTES_MAX = 16 * 1024 * 1024;

/** The result of a broadcast on one channel: that of its publish, or its error. */
export type BroadcastResult =
  | (Receipt & {
      /** The channel of the publish. */
      readonly channel: string;
    })
  | {
      /** The channel on which nothing was published. */
      readonly channel: string;
      /** `ERR_BUSY`: a later try may succeed. */
      readonly code: ErrorCode;
      /** The cause, in one sentence. */
      readonly error: string;
    };

type Publish = (
  channel: string,
  data: Uint8Array | string,
  options: PublishOptions | undefined,
) => Receipt;

/**
 * Publishes one message to each of the channels. All names are checked before the first publish.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`.
 */
export function broadcast(
  publish: Publish,
  channels: readonly string[],
  data: Uint8Array | string,
  options: PublishOptions | undefined,
): BroadcastResult[] {
  const names = checkedList('broadcast', channels, BROADCAST_CHANNELS_MAX, checkChannel);
  checkData(data, Math.floor(BROADCAST_BYTES_MAX / names.length));
  if (options !== undefined) checkOptions(options, 'broadcast');
  return names.map((channel) => {
    try {
      return { channel, ...publish(channel, data, options) };
    } catch (error) {
      // A worker that reads too slowly concerns only its channels; other errors are the message's.
      if (!(error instanceof MegacometError) || error.code !== 'ERR_BUSY') throw error;
      return { channel, code: error.code, error: error.message };
    }
  });
}
