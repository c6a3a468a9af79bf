// The abilities of an output stream: colours, a cursor that moves, and how many columns.

type Environment = Readonly<Record<string, string | undefined>>;

/** The part of a stream that this file reads. */
export interface OutputShape {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

const COLUMNS_DEFAULT = 80;

/** Whether the stream is a terminal that obeys cursor codes; `TERM=dumb` is one that does not. */
export function movesCursor(stream: OutputShape, env: Environment): boolean {
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

/**
 * Whether to write colours. NO_COLOR counts unless it is empty (no-color.org). FORCE_COLOR decides
 * against the terminal: `0` and `false` mean none, anything else that is not empty means colours.
 */
export function showsColours(stream: OutputShape, env: Environment): boolean {
  const { NO_COLOR: none = '', FORCE_COLOR: forced = '' } = env;
  if (none !== '') return false;
  if (forced !== '') return forced !== '0' && forced !== 'false';
  return movesCursor(stream, env);
}

/** The width of the terminal; 80 if the stream is none. */
export function columnsOf({ isTTY, columns }: OutputShape): number {
  return isTTY === true && columns !== undefined && columns > 0 ? columns : COLUMNS_DEFAULT;
}
