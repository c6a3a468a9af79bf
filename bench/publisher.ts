// Publishes over HTTP, in a separate process, so that its CPU time is counted separately. Its
// request is argv[2], its result stdout.
import { Pool } from 'undici';

import { CHANNEL } from './comet-subjects.js';
import { pace, Rota, stamped, type Load } from './pace.js';

export interface PublisherRequest extends Load {
  /** Port of the admin server. */
  readonly port: number;
  readonly token: string;
  /** Batches of lines, or one message per request. */
  readonly kind: 'lines' | 'single';
}

export interface PublisherResult {
  readonly published: number;
  readonly rejected: number;
  readonly seconds: number;
  readonly cpuUs: number;
}

/** Batches in flight, and lines per batch: a slower server slows the publisher down. */
const BATCHES_MAX = 4;
const LINES_MAX = 5000;
/** Persistent connections, each with one request in flight. */
const CONNECTIONS = 64;

class Publisher {
  readonly #request: PublisherRequest;
  readonly #pool: Pool;
  readonly #rota: Rota;
  #published = 0;
  #rejected = 0;

  constructor(request: PublisherRequest) {
    this.#request = request;
    const connections = request.kind === 'lines' ? BATCHES_MAX : CONNECTIONS;
    this.#pool = new Pool(`http://127.0.0.1:${request.port}`, { connections });
    this.#rota = new Rota(request.channels);
  }

  async run(): Promise<PublisherResult> {
    const cpu = process.cpuUsage();
    const startedAtMs = performance.now();
    await (this.#request.kind === 'lines' ? this.#batches() : this.#oneByOne());
    const seconds = (performance.now() - startedAtMs) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    await this.#pool.close();
    const counts = { published: this.#published, rejected: this.#rejected };
    return { ...counts, seconds, cpuUs: user + system };
  }

  #line(data: string): string {
    return `{"channel":"${CHANNEL}/${this.#rota.next()}","data":"${data}"}`;
  }

  async #post(type: string, body: string): Promise<{ status: number; text: string }> {
    const answer = await this.#pool.request({
      ...{ method: 'POST', path: '/publish', body },
      headers: { authorization: `Bearer ${this.#request.token}`, 'content-type': type },
    });
    return { status: answer.statusCode, text: await answer.body.text() };
  }

  async #batches(): Promise<void> {
    const underWay = new Set<Promise<void>>();
    const room = (): number => (underWay.size < BATCHES_MAX ? LINES_MAX : 0);
    await pace(this.#request, room, (count) => {
      const batch = this.#batch(count).finally(() => underWay.delete(batch));
      underWay.add(batch);
    });
    await Promise.all(underWay);
  }

  async #batch(count: number): Promise<void> {
    const data = stamped(this.#request.messageBytes);
    const body = Array.from({ length: count }, () => this.#line(data)).join('\n');
    const { text } = await this.#post('application/x-ndjson', body);
    const taken = text.split('{"cursor":').length - 1;
    this.#published += taken;
    this.#rejected += count - taken;
  }

  /** At the rate of the responses, at most the rate of the load. */
  async #oneByOne(): Promise<void> {
    const { rate, seconds, messageBytes } = this.#request;
    const startedAtMs = performance.now();
    const passed = (): number => (performance.now() - startedAtMs) / 1000;
    const lane = async (): Promise<void> => {
      while (passed() < seconds && this.#published < rate * seconds) {
        const { status } = await this.#post('application/json', this.#line(stamped(messageBytes)));
        if (status === 200) this.#published++;
        else this.#rejected++;
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, lane));
  }
}

const request = JSON.parse(process.argv[2] ?? '') as PublisherRequest;
process.stdout.write(JSON.stringify(await new Publisher(request).run()));
