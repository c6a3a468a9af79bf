// The body of a response that another server sends, up to a number of bytes.
import type { IncomingMessage } from 'node:http';

/** Reads a body. @throws The error of `tooLarge` beyond `bytesMax`; the response is then destroyed. */
export async function boundedBody(
  response: IncomingMessage,
  bytesMax: number,
  tooLarge: (message: string) => Error,
): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    // Leaving the loop destroys the response.
    if (bytes > bytesMax) throw tooLarge(`the answer has more than ${bytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
