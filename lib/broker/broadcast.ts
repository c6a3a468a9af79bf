// One message to many channels: one publish for each of them.
import { checkChannel } from '../base/channel-name.js';
import { MegacometError, type ErrorCode } from '../base/errors.js';
import { checkedList } from './client-orders.js';
import { checkData, checkOptions, type PublishOptions, type Receipt } from './publishing.js';

export const BROADCAST_CHANNELS_MAX = 1000;
/** A worker that reads too slowly, or a log that is not available. */
const RETRIED: ReadonlySet<ErrorCode> = new Set(['ERR_BUSY', 'ERR_LOG']);
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
      /** `ERR_BUSY`, `ERR_LOG`: a later try may succeed. */
      readonly code: ErrorCode;
      /** The cause, in one sentence. */
      readonly error: string;
    };

type Publish = (
  channel: string,
  data: Uint8Array | string,
  options: PublishOptions | undefined,
) => Promise<Receipt>;

/**
 * Publishes one message to each of the channels. All names are checked before the first publish.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_CHANNEL`, `ERR_MESSAGE`, `ERR_MESSAGE_SIZE`: as
 *   rejections.
 */
export async function broadcast(
  publish: Publish,
  channels: readonly string[],
  data: Uint8Array | string,
  options: PublishOptions | undefined,
): Promise<BroadcastResult[]> {
  const names = checkedList('broadcast', channels, BROADCAST_CHANNELS_MAX, checkChannel);
  checkData(data, Math.floor(BROADCAST_BYTES_MAX / names.length));
  if (options !== undefined) checkOptions(options, 'broadcast');
  if (options?.count !== undefined) {
    // A question to the cluster for each channel would exceed their rate.
    throw new MegacometError('ERR_MESSAGE', 'broadcast: count is an option of publish() only');
  }
  return Promise.all(
    names.map(async (channel) => {
      try {
        return { channel, ...(await publish(channel, data, options)) };
      } catch (error) {
        // These concern one channel, or one moment; other errors are the message's.
        if (!(error instanceof MegacometError) || !RETRIED.has(error.code)) throw error;
        return { channel, code: error.code, error: error.message };
      }
    }),
  );
}
