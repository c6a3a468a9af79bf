// One random case of grants against a running server: clients of every transport ask for random
// channels, and all that they read is compared with the slow model of access-model.ts.
import WebSocket from 'ws';

import { isGranted, randomChannel, randomGrants, randomName, receives } from './access-model.js';
import type { Secret } from './client-tokens.js';
import type { World } from './comet-world.js';
import { until } from './helpers.js';
import type { Random } from './random.js';

/** Channels that everybody may subscribe to; the last message of a round is on `end`. */
export const PUBLIC = ['end', 'pub/*'];

export const PATHS = ['/events', '/stream', '/poll', '/ws'] as const;
type Path = (typeof PATHS)[number];

/** Tags of messages in a text of any transport: their channel and round. */
function tagsIn(text: string): string[] {
  return [...text.matchAll(/m:([\w-]+:\d+):/g)].map(([, tag = '']) => tag);
}

function tagOf(channel: string, round: number): string {
  return `${Buffer.from(channel).toString('base64url')}:${round}`;
}

/** A client that keeps every text that it receives. */
class Reader {
  text = '';
  status = 0;
  readonly #abort = new AbortController();
  socket: WebSocket | undefined;

  constructor(
    readonly world: World,
    readonly path: Path,
    readonly channels: readonly string[],
    readonly token: string,
  ) {}

  #url(since: string): string {
    const query = new URLSearchParams(
      this.channels.map((name): [string, string] => ['channel', name]),
    );
    query.set('token', this.token);
    if (since !== '') query.set('since', since);
    return `127.0.0.1:${this.world.port}${this.path}?${query.toString()}`;
  }

  async open(since: string): Promise<void> {
    if (this.path === '/ws') await this.#openSocket(since);
    else await this.#request(since);
  }

  async #openSocket(since: string): Promise<void> {
    const socket = new WebSocket(`ws://${this.#url(since)}`);
    this.socket = socket;
    socket.on('message', (data: Buffer) => (this.text += `${data.toString()}\n`));
    socket.on('error', () => undefined);
    socket.on('unexpected-response', (_request, { statusCode = 0 }) => (this.status = statusCode));
    socket.on('open', () => (this.status = 200));
    await until('a status', () => this.status !== 0);
  }

  /** A stream goes on; a poll is repeated until it has the last message. */
  async #request(since: string): Promise<void> {
    const { signal } = this.#abort;
    const response = await fetch(`http://${this.#url(since)}`, { signal });
    this.status = response.status === 204 ? 200 : response.status;
    void this.#read(response).catch(() => undefined);
  }

  async #read(response: Response): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      this.text += decoder.decode(chunk as Uint8Array, { stream: true });
    }
    if (this.path !== '/poll' || response.status >= 300) return;
    await this.#request(response.headers.get('megacomet-cursor') ?? '');
  }

  /** Sends a command, and returns the first answer with its id. */
  async command(
    command: { id: string } & Record<string, unknown>,
  ): Promise<Record<string, unknown>> {
    this.socket?.send(JSON.stringify(command));
    let found: Record<string, unknown> | undefined;
    await until(`the answer to ${JSON.stringify(command)}`, () => {
      const notes = this.text.split('\n').filter((line) => line !== '');
      const isAnswer = ({ id }: Record<string, unknown>): boolean => id === command.id;
      found = notes.map((line) => JSON.parse(line) as Record<string, unknown>).find(isAnswer);
      return found !== undefined;
    });
    return found ?? {};
  }

  close(): void {
    this.#abort.abort();
    this.socket?.terminate();
  }
}

/** Differences between the server and the model; none in a correct server. */
export class AccessCase {
  readonly faults: string[] = [];
  readonly #names: string[];
  #round = 0;

  constructor(
    readonly world: World,
    readonly secret: Secret,
    readonly random: Random,
  ) {
    const names = Array.from({ length: 12 }, () => randomName(random));
    this.#names = [...new Set([...names, 'pub/x'])];
  }

  #note(isRight: boolean, what: string, details: object): void {
    if (!isRight) this.faults.push(`${what}: ${JSON.stringify(details)}`);
  }

  /** Publishes one message to each name, and one to the channel that every client has. */
  async #publish(): Promise<void> {
    this.#round++;
    for (const name of [...this.#names, 'end']) {
      await this.world.server.publish(name, `m:${tagOf(name, this.#round)}:`);
    }
  }

  async run(): Promise<void> {
    const start = await this.world.server.publish('end', 'start');
    await this.#publish();
    const missed = this.#round;
    const mail = this.#readMail();
    const readers = await Promise.all(PATHS.map((path) => this.#reader(path, start.cursor)));
    await this.#publish();
    for (const { reader, has } of readers) {
      if (reader.status === 200) await this.#compare(reader, has, [missed, this.#round]);
      reader.close();
    }
    await mail;
  }

  /** Opens a client with random channels and grants, and compares its status. */
  async #reader(path: Path, since: string): Promise<{ reader: Reader; has: string[] }> {
    const { random } = this;
    const grants = randomGrants(random);
    const claimed = random() < 0.3 ? [randomName(random)] : [];
    const wanted = random() < 0.8 ? [randomChannel(random)] : [];
    // Often one that the grants have, so that not every request is rejected.
    const exact = grants.subscribe.filter((text) => !text.includes('*'));
    const channels = ['end', ...(random() < 0.5 ? exact.slice(0, 1) : wanted)];
    const token = this.secret.token({ sub: 'ada', grants, channels: claimed });
    const reader = new Reader(this.world, path, channels, token);
    await reader.open(since);
    const subscribe = [...grants.subscribe, ...claimed, ...PUBLIC];
    const may = channels.every((channel) => isGranted(subscribe, channel));
    const details = { path, channels, grants, claimed, status: reader.status };
    this.#note(reader.status === (may ? 200 : 403), 'status', details);
    const has = may ? [...channels, ...claimed] : [];
    if (path === '/ws' && may) await this.#ask(reader, has, { ...grants, subscribe });
    return { reader, has };
  }

  /** Random commands of a WebSocket. */
  async #ask(
    reader: Reader,
    has: string[],
    grants: ReturnType<typeof randomGrants>,
  ): Promise<void> {
    const { random } = this;
    for (let at = 0; at < 6; at++) {
      const channel = random() < 0.5 ? randomChannel(random) : (this.#names[at] ?? 'a');
      const id = `r${at}`;
      const history = await reader.command({ id: `h${id}`, type: 'history', channel, limit: 1000 });
      const mayRead = isGranted([...grants.history, ...PUBLIC], channel);
      const isRight = (history['type'] === 'history') === mayRead;
      this.#note(isRight, 'history', { channel, grants, history });
      for (const tag of tagsIn(JSON.stringify(history['messages'] ?? []))) {
        const name = Buffer.from(tag.split(':')[0] ?? '', 'base64url').toString();
        this.#note(receives(channel, name), 'message of another channel', { channel, name });
      }
      const presence = await reader.command({ id: `p${id}`, type: 'presence', channel });
      const maySee = isGranted(grants.presence, channel);
      this.#note((presence['type'] === 'presence') === maySee, 'presence', { channel, grants });
      await this.#subscribe(reader, has, grants.subscribe, channel);
    }
    // Answers of `history` repeat messages: they do not count as received.
    reader.text = reader.text.replaceAll(/^\{"type":"history".*$/gm, '');
  }

  async #subscribe(
    reader: Reader,
    has: string[],
    grants: readonly string[],
    channel: string,
  ): Promise<void> {
    const hasOwn = !channel.endsWith('*') && this.random() < 0.2;
    const own = hasOwn ? { token: this.secret.token({ sub: 'ada', channel }) } : {};
    const before = reader.text.length;
    reader.socket?.send(JSON.stringify({ type: 'subscribe', channel, ...own }));
    let type = '';
    await until('an answer', () => {
      type = /"type":"(subscribed|error)"/.exec(reader.text.slice(before))?.[1] ?? '';
      return type !== '';
    });
    const may = hasOwn || isGranted(grants, channel);
    this.#note((type === 'subscribed') === may, 'subscribe', { channel, grants, type, hasOwn });
    if (may) has.push(channel);
  }

  /** A client has received exactly the messages of its channels. */
  async #compare(
    reader: Reader,
    has: readonly string[],
    [missed, last]: readonly [number, number],
  ): Promise<void> {
    const end = tagOf('end', last);
    await until(`the last message over ${reader.path}`, () => tagsIn(reader.text).includes(end));
    const found = new Set(tagsIn(reader.text));
    for (const name of [...this.#names, 'end']) {
      const wanted = has.some((channel) => receives(channel, name));
      const got = found.has(tagOf(name, last));
      this.#note(got === wanted, 'message', { path: reader.path, name, has, wanted });
      const old = found.has(tagOf(name, missed));
      this.#note(!old || wanted, 'missed message', { path: reader.path, name, has });
    }
  }

  /** A mailbox of the same name as a channel receives its own message alone. */
  async #readMail(): Promise<void> {
    const [name = 'a'] = this.#names;
    const poll = fetch(`http://127.0.0.1:${this.world.port}/${encodeURIComponent(name)}.js`);
    await this.world.server.deliver(name, 'mail');
    const text = await (await poll).text();
    this.#note(text === 'mail', 'mailbox', { name, text });
  }
}
