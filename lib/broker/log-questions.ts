// Questions that one node asks all nodes through the log, such as the subscribers of a channel. Every
// node answers with a record; the asker waits for those that live, and not for long.
import { MegacometError } from '../base/errors.js';
import { counter } from '../base/metric.js';
import type { JsonObject } from './log-json.js';

/** Questions of one node in a second: each is an entry, and an answer of every node. */
const QUESTIONS_PER_SECOND = 100;
/** Of these, those of clients: they cannot use up the questions of the application. */
const CLIENT_QUESTIONS_PER_SECOND = 50;
/** The wait for the answers: a node that is slower does not count. */
const ANSWER_MS = 100;
/** The answer to a question that needs the answers of workers, which may take longer. */
const SLOW_ANSWER_MS = 2000;

/** The answers to a question. */
export interface Answers {
  /** Those of the nodes that answered, this one included. */
  readonly answers: readonly NodeAnswer[];
  /** Whether every node that lives answered in time. */
  readonly isComplete: boolean;
  /** Nodes that did not answer, and for which the question did not wait. */
  readonly silent: ReadonlySet<string>;
}

export interface NodeAnswer {
  readonly node: string;
  readonly answer: JsonObject;
}

/** How a question is asked. */
export interface AskOptions {
  /** Whether a node has to ask its workers, or to list names; default false. */
  readonly isSlow?: boolean;
  /** The only node that answers; default: all. */
  readonly only?: string;
  /** Whether a client caused the question; default false. */
  readonly isForClient?: boolean;
}

/** The nodes of a cluster, as LogNodes knows them. */
export interface KnownNodes {
  /** The names of those that live. */
  readonly names: readonly string[];
  /** Those of them that may have died: they are asked, but a question does not wait for them. */
  readonly silent: ReadonlySet<string>;
}

interface Question {
  readonly waiting: Set<string>;
  readonly silent: Set<string>;
  readonly answers: Map<string, JsonObject>;
  readonly finish: () => void;
}

export class LogQuestions {
  static readonly METRICS = {
    clusterQuestionsTotal: counter(
      'cluster_questions_total',
      'Questions to all nodes: presence, channels, counts and disconnects of one connection.',
      (questions: LogQuestions) => questions.#asked,
    ),
    clusterQuestionsIncompleteTotal: counter(
      'cluster_questions_incomplete_total',
      'Questions that some node did not answer in time, or that were not written to the log.',
      (questions: LogQuestions) => questions.#incomplete,
    ),
    clusterQuestionsRejectedTotal: counter(
      'cluster_questions_rejected_total',
      'Questions that were not asked: more than 100 in a second, or more than 50 for clients. Ask for ' +
        'presence and counts less often.',
      (questions: LogQuestions) => questions.#rejected,
    ),
  };

  readonly #questions = new Map<number, Question>();
  readonly #now: () => number;
  #last = 0;
  #second = 0;
  #inSecond = 0;
  #asked = 0;
  #incomplete = 0;
  #rejected = 0;

  /** @param now - Milliseconds of a monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Opens a question.
   *
   * @returns The id for its record, and the answers.
   * @throws MegacometError `ERR_BUSY` above the rate.
   */
  open(
    { names, silent }: KnownNodes,
    { isSlow = false, only, isForClient = false }: AskOptions = {},
  ): { readonly id: number; readonly answers: Promise<Answers> } {
    this.#checkRate(isForClient ? CLIENT_QUESTIONS_PER_SECOND : QUESTIONS_PER_SECOND);
    this.#asked++;
    const id = ++this.#last;
    const asked = only === undefined ? names : [only];
    const answers = new Promise<Answers>((resolve) => {
      const timer = setTimeout(
        () => {
          question.finish();
        },
        isSlow ? SLOW_ANSWER_MS : ANSWER_MS,
      );
      const question: Question = {
        waiting: new Set(asked.filter((name) => !silent.has(name))),
        silent: new Set(asked.filter((name) => silent.has(name))),
        answers: new Map(),
        finish: () => {
          clearTimeout(timer);
          this.#questions.delete(id);
          const isComplete = question.waiting.size + question.silent.size === 0;
          if (!isComplete) this.#incomplete++;
          const answers = [...question.answers].map(([node, answer]) => ({ node, answer }));
          resolve({ answers, isComplete, silent: question.silent });
        },
      };
      this.#questions.set(id, question);
    });
    return { id, answers };
  }

  /** The record of a question was written: one for silent nodes alone ends without their answers. */
  written(id: number): void {
    const question = this.#questions.get(id);
    if (question?.waiting.size === 0 && question.silent.size > 0) question.finish();
  }

  /** Takes the answer of a node to a question of this node. */
  onAnswer(id: number, node: string, answer: JsonObject): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    question.answers.set(node, answer);
    question.waiting.delete(node);
    question.silent.delete(node);
    if (question.waiting.size === 0) question.finish();
  }

  /** Ends a question whose record was not written. */
  drop(id: number): void {
    this.#questions.get(id)?.finish();
  }

  #checkRate(most: number): void {
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#inSecond = 0;
    }
    if (this.#inSecond < most) {
      this.#inSecond++;
      return;
    }
    this.#rejected++;
    const message = `more than ${most} questions to the cluster in a second; retry shortly`;
    throw new MegacometError('ERR_BUSY', message);
  }
}
