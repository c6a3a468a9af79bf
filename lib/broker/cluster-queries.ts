// Queries and disconnects that concern every node of a cluster: the node that receives one asks the
// others through the log. A server that shares its log with no other answers for itself.
import { PRESENCE_PAGE_MAX } from '../base/native-constants.js';
import { MegacometError, type ErrorCode } from '../base/errors.js';
import { quoted } from '../base/quoted.js';
import type { BrokerLog } from './broker-log.js';
import type { ChannelQueries } from './channel-queries.js';
import { ClusterChannels } from './cluster-channels.js';
import {
  ANSWER_BYTES_MAX,
  CLIENT_ANSWER_BYTES_MAX,
  mergedPresence,
  presenceAnswer,
} from './cluster-presence.js';
import type { HistoryEngine } from './history-engine.js';
import type { Interest } from './interest.js';
import type { JsonObject } from './log-json.js';
import { NODE_AGE_MS_MAX, TICK_AGE_MS_MAX } from './log-nodes.js';
import type { Answers } from './log-questions.js';
import { nodeOfMember } from './member-name.js';
import type { MemberOrders } from './member-orders.js';
import { presenceOf, type ChannelPresence, type GatheredPresence } from './presence.js';
import type { ChannelPage, ChannelQuery, Receipt } from './publishing.js';

export interface ClusterQueriesParts {
  readonly queries: ChannelQueries;
  readonly interest: Interest;
  readonly engine: HistoryEngine;
  readonly members: Pick<MemberOrders, 'disconnect'>;
  /** Null without a log. */
  readonly log: Pick<BrokerLog, 'ask' | 'isShared' | 'nodeName' | 'state'> | null;
}

/** The error of a node that could not answer. */
interface Failure {
  readonly code: ErrorCode;
  readonly error: string;
}

function failureOf(answer: JsonObject | undefined): Failure | null {
  const { code, error } = answer ?? {};
  return typeof code === 'string' ? { code: code as ErrorCode, error: String(error) } : null;
}

/** The answer of a node. @throws MegacometError if it is an error. */
function answerOf({ answers }: Answers, node: string): JsonObject | undefined {
  const answer = answers.find((one) => one.node === node)?.answer;
  const failure = failureOf(answer);
  if (failure !== null) throw new MegacometError(failure.code, failure.error);
  return answer;
}

/** Why a node did not answer. */
function unanswered(node: string, { silent }: Answers): string {
  const name = `the node ${quoted(node)}`;
  if (!silent.has(node)) return `${name} does not answer; retry later`;
  const [seconds, left] = [TICK_AGE_MS_MAX / 1000, NODE_AGE_MS_MAX / 1000];
  return (
    `${name} has written no tick for ${seconds} s; if it died, the connection ended with it, and ` +
    `${left} s after its last tick the node counts as gone`
  );
}

export class ClusterQueries {
  readonly #parts: ClusterQueriesParts;
  /** Null for a server that shares its log with no other. */
  readonly #log: ClusterQueriesParts['log'];
  readonly #channels: ClusterChannels | null;

  constructor(parts: ClusterQueriesParts) {
    const { log } = parts;
    this.#parts = parts;
    this.#log = log?.isShared === true ? log : null;
    this.#channels =
      this.#log === null
        ? null
        : new ClusterChannels({
            ...parts,
            node: this.#log.nodeName,
            nodes: () => this.#nodes(),
            ask: this.#log.ask.bind(this.#log),
          });
  }

  /** Whether there may be other nodes. */
  get isShared(): boolean {
    return this.#log !== null;
  }

  /**
   * The connections that subscribe to exactly this channel or pattern, as the workers report them.
   *
   * @param limit - Members at most; by default 10,000.
   * @throws MegacometError `ERR_CHANNEL`; `ERR_BUSY` while 64 queries run, or above 100 questions to
   *   the cluster in a second; `ERR_LOG`; `ERR_NOT_RUNNING`.
   */
  async presence(channel: string, limit?: number): Promise<ChannelPresence> {
    return presenceOf(await this.gatherPresence(channel, limit));
  }

  /** See presence(). */
  async gatherPresence(
    channel: string,
    limit = PRESENCE_PAGE_MAX,
    isForClient = false,
  ): Promise<GatheredPresence> {
    const { queries } = this.#parts;
    if (this.#log === null) return queries.gatherPresence(channel, limit);
    queries.checkPresence(channel);
    const bytesMax = isForClient ? CLIENT_ANSWER_BYTES_MAX : ANSWER_BYTES_MAX;
    const question = { ask: 'presence', channel, limit, bytesMax };
    const answers = await this.#log.ask(question, { isSlow: true, isForClient });
    answerOf(answers, this.#log.nodeName);
    return mergedPresence(channel, answers, limit);
  }

  /**
   * Channels with subscribers or history, in no order, page by page.
   *
   * @throws MegacometError `ERR_BUSY`, `ERR_LOG`, `ERR_NOT_RUNNING`: as rejections.
   */
  async channels(query?: ChannelQuery): Promise<ChannelPage> {
    return this.#channels?.page(query) ?? this.#parts.queries.channels(query);
  }

  /**
   * The receipt of a publish, with the subscribers of all nodes that answer within 100 ms. To be
   * called in the iteration of the publish: the question follows the message in the same entry.
   */
  async counted(channel: string, publish: Promise<Receipt> | Receipt): Promise<Receipt> {
    const [receipt, count] = await Promise.all([publish, this.#count(channel)]);
    return receipt.duplicate === true ? receipt : { ...receipt, ...(count ?? { nodes: 1 }) };
  }

  /**
   * The subscribers of exactly this channel or pattern on all nodes that answer within 100 ms, as they
   * are before the records that the caller writes next.
   *
   * @returns Null if the question cannot be asked, or no node answers it.
   */
  async subscribers(channel: string): Promise<number | null> {
    const counts = await this.#counts({ ask: 'counts', channels: [channel] }, ({ counts }) =>
      Array.isArray(counts) ? counts[0] : undefined,
    );
    return counts.length === 0 ? null : sumOf(counts);
  }

  /**
   * Disconnects a member on its node.
   *
   * @returns 1, or 0 if no open connection has this name.
   * @throws MegacometError `ERR_BUSY`, `ERR_LOG`: as rejections.
   */
  async disconnect(member: string, reason: string): Promise<number> {
    const node = nodeOfMember(member);
    if (this.#log === null) return this.#parts.members.disconnect(member, reason);
    if (!this.#nodes().includes(node)) return 0;
    const question = { ask: 'disconnect', to: node, member, reason };
    const answers = await this.#log.ask(question, { isSlow: true, only: node });
    const answer = answerOf(answers, node);
    if (answer !== undefined) return answer['connections'] === 1 ? 1 : 0;
    throw new MegacometError('ERR_BUSY', `disconnect: ${unanswered(node, answers)}`);
  }

  /** Answers a question of a node; null if it is for another one. */
  async answer(question: JsonObject): Promise<JsonObject | null> {
    if (question['to'] !== undefined && question['to'] !== this.#log?.nodeName) return null;
    try {
      return await this.#answer(question);
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      return { code: error.code, error: error.message };
    }
  }

  async #answer(question: JsonObject): Promise<JsonObject> {
    const { queries, interest, members } = this.#parts;
    const { ask, limit, bytesMax, member, reason } = question;
    const channel = String(question['channel']);
    switch (ask) {
      case 'presence':
        return presenceAnswer(
          await queries.gatherPresence(channel, Number(limit)),
          Math.min(Number(bytesMax), ANSWER_BYTES_MAX),
        );
      case 'names':
        return { ...this.#channels?.names(question) };
      case 'counts':
        return this.#channels?.counts(question) ?? {};
      case 'recipients':
        return { subscribers: interest.match(channel).subscribers };
      case 'disconnect':
        return { connections: await members.disconnect(String(member), String(reason)) };
      default:
        // A newer version asks: the answer has nothing that counts, so that it need not wait.
        return {};
    }
  }

  /** The names of the nodes that live, in an order that is the same on each. */
  #nodes(): readonly string[] {
    const { nodeName = '', state } = this.#log ?? {};
    const names = (state?.nodes ?? []).map(({ node }) => node);
    return [...new Set([nodeName, ...names])].sort();
  }

  /** The subscribers of a channel and of its patterns; null without an answer. */
  async #count(channel: string): Promise<Pick<Receipt, 'delivered' | 'nodes'> | null> {
    const question = { ask: 'recipients', channel };
    const counts = await this.#counts(question, ({ subscribers }) => subscribers);
    return counts.length === 0 ? null : { delivered: sumOf(counts), nodes: counts.length };
  }

  /** The numbers with which the nodes answer; none if the question cannot be asked. */
  async #counts(
    question: JsonObject,
    numberIn: (answer: JsonObject) => unknown,
  ): Promise<readonly number[]> {
    try {
      const { answers = [] } = (await this.#log?.ask(question)) ?? {};
      return answers
        .map(({ answer }) => numberIn(answer))
        .filter((count) => typeof count === 'number');
    } catch (error) {
      // The record beside it is written: an error would make the caller repeat it.
      if (!(error instanceof MegacometError)) throw error;
      return [];
    }
  }
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
