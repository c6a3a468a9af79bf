// The members of a channel: its connections, grouped by user.

/** One user of a channel, with all its connections, or the connections without a user. */
export interface PresenceMember {
  /** The claim `sub` of the tokens; empty for connections without a user. */
  readonly user: string;
  /** The claim `info` of one of the tokens; undefined without one. */
  readonly info?: unknown;
  /** Connections of the user on this channel. */
  readonly connections: number;
  /** The names of these connections, as in presence events. */
  readonly names: readonly string[];
}

/** A member whose info is JSON, as its token has it: an answer repeats it without a change. */
export interface MemberRow {
  readonly user: string;
  /** Empty without one. */
  readonly info: string;
  readonly names: string[];
}

/** The text of an info, or empty if it is not JSON: the texts of a worker are not trusted. */
function checkedInfo(text: string): string {
  if (text === '') return '';
  try {
    JSON.parse(text);
    return text;
  } catch {
    return '';
  }
}

/** The value of an info. */
export function infoOf(text: string): { readonly info?: unknown } {
  const checked = checkedInfo(text);
  return checked === '' ? {} : { info: JSON.parse(checked) as unknown };
}

/** Groups connections. Users are compared as they are: two Unicode forms of a name are two users. */
export class MemberList {
  readonly #rows = new Map<string, MemberRow>();
  #connections = 0;

  /** Connections that were added. */
  get connections(): number {
    return this.#connections;
  }

  /** Members with a user. */
  get users(): number {
    return this.rows.filter(({ user }) => user !== '').length;
  }

  get rows(): readonly MemberRow[] {
    return [...this.#rows.values()].filter(({ names }) => names.length > 0);
  }

  /**
   * The row for a user, which counts once it has a connection. Connections without a user share a row if they have the same info, because
   * their tokens may name them there.
   */
  rowOf(user: string, info: string): MemberRow {
    const key = user === '' ? `?${info}` : `=${user}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = { user, info: checkedInfo(info), names: [] };
      this.#rows.set(key, row);
    }
    return row;
  }

  add(row: MemberRow, name: string): void {
    row.names.push(name);
    this.#connections++;
  }
}

/** A row for the library. */
export function memberOf({ user, info, names }: MemberRow): PresenceMember {
  return { user, ...infoOf(info), connections: names.length, names };
}
