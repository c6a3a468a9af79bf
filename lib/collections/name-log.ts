// Names as bytes, in shards that are packed when too many names are dead. A name of 20 characters
// costs 21 bytes and slack; as a string in a Map it costs more than 100.
const SHARDS = 256;
const BYTES_MIN = 256;
const DEAD_MIN = 64;

interface Shard {
  bytes: Buffer;
  end: number;
  names: number;
  dead: number;
}

export class NameLog {
  readonly #shards: readonly Shard[] = Array.from({ length: SHARDS }, () => ({
    bytes: Buffer.alloc(0),
    end: 0,
    names: 0,
    dead: 0,
  }));
  readonly #bytesMax: number;
  #memoryBytes = 0;

  /** @param bytesMax - Memory for names; a full log rejects further ones. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get shards(): number {
    return SHARDS;
  }

  /** Adds a name of 1 to 255 bytes to a shard; false if the log is full. */
  add(shard: number, name: string): boolean {
    const own = this.#shards[shard] as Shard;
    const size = Buffer.byteLength(name);
    if (own.end + 1 + size > own.bytes.length) {
      const length = Math.max(BYTES_MIN, 2 * own.bytes.length);
      const more = length - own.bytes.length;
      if (this.#memoryBytes + more > this.#bytesMax) return false;
      const longer = Buffer.allocUnsafeSlow(length);
      own.bytes.copy(longer, 0, 0, own.end);
      own.bytes = longer;
      this.#memoryBytes += more;
    }
    own.bytes[own.end] = size;
    own.bytes.write(name, own.end + 1);
    own.end += 1 + size;
    own.names++;
    return true;
  }

  /** Notes that a name of a shard is dead; true when the shard should be packed. */
  markDead(shard: number): boolean {
    const own = this.#shards[shard] as Shard;
    own.dead++;
    return own.dead > DEAD_MIN && own.dead > own.names / 2;
  }

  /** Keeps the names of a shard for which `isLive` returns true. */
  pack(shard: number, isLive: (name: string) => boolean): void {
    const own = this.#shards[shard] as Shard;
    let to = 0;
    let names = 0;
    for (let at = 0; at < own.end;) {
      const end = at + 1 + (own.bytes[at] ?? 0);
      if (isLive(own.bytes.toString('utf8', at + 1, end))) {
        own.bytes.copyWithin(to, at, end);
        to += end - at;
        names++;
      }
      at = end;
    }
    own.end = to;
    own.names = names;
    own.dead = 0;
    this.#shrink(own);
  }

  /** The names of a shard, including dead ones. */
  list(shard: number): string[] {
    const own = this.#shards[shard] as Shard;
    const names: string[] = [];
    for (let at = 0; at < own.end;) {
      const end = at + 1 + (own.bytes[at] ?? 0);
      names.push(own.bytes.toString('utf8', at + 1, end));
      at = end;
    }
    return names;
  }

  #shrink(own: Shard): void {
    if (own.bytes.length <= BYTES_MIN || own.end > own.bytes.length / 4) return;
    const shorter = Buffer.allocUnsafeSlow(Math.max(BYTES_MIN, 2 * own.end));
    own.bytes.copy(shorter, 0, 0, own.end);
    this.#memoryBytes -= own.bytes.length - shorter.length;
    own.bytes = shorter;
  }
}
