// Questions that one node asks all nodes through the log, such as the subscribers of a channel. Every
// node answers with a record; the asker waits for those that live, and not for long.
import { MegacometError } from '../base/errors.js';
import { counter } from '../base/metric.js';
import type { JsonObject } from './log-json.js';

/** Questions of one node in a second: each is an entry, and an answer of every node. */
const QUESTIONS_PER_SECOND = 100;
/** The wait for the answers: a node that is slower does not count. */
const ANSWER_MS = 100;
/** The answer to a question that needs the answers of workers, which may take longer. */
const SLOW_ANSWER_MS = 2000;

/** The answers to a question. */
export interface Answers {
  /** Those of the nodes that answered, this one included. */
  readonly answers: readonly JsonObject[];
  /** Nodes that live. */
  readonly nodes: number;
}

interface Question {
  readonly waiting: Set<string>;
  readonly nodes: number;
  readonly answers: JsonObject[];
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
      'Questions that some node did not answer in time.',
      (questions: LogQuestions) => questions.#incomplete,
    ),
  };

  readonly #questions = new Map<number, Question>();
  readonly #now: () => number;
  #last = 0;
  #second = 0;
  #inSecond = 0;
  #asked = 0;
  #incomplete = 0;

  /** @param now - Milliseconds of a monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Opens a question.
   *
   * @param nodes - The names of the nodes that live.
   * @param isSlow - Whether a node has to ask its workers.
   * @returns The id for its record, and the answers.
   * @throws MegacometError `ERR_BUSY` above the rate.
   */
  open(
    nodes: readonly string[],
    isSlow: boolean,
  ): { readonly id: number; readonly answers: Promise<Answers> } {
    this.#checkRate();
    this.#asked++;
    const id = ++this.#last;
    const answers = new Promise<Answers>((resolve) => {
      const timer = setTimeout(
        () => {
          this.#incomplete++;
          question.finish();
        },
        isSlow ? SLOW_ANSWER_MS : ANSWER_MS,
      );
      const question: Question = {
        waiting: new Set(nodes),
        nodes: nodes.length,
        answers: [],
        finish: () => {
          clearTimeout(timer);
          this.#questions.delete(id);
          resolve({ answers: question.answers, nodes: question.nodes });
        },
      };
      this.#questions.set(id, question);
    });
    return { id, answers };
  }

  /** Takes the answer of a node to a question of this node. */
  onAnswer(id: number, node: string, answer: JsonObject): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    question.answers.push(answer);
    question.waiting.delete(node);
    if (question.waiting.size === 0) question.finish();
  }

  /** Ends a question whose record was not written. */
  drop(id: number): void {
    this.#questions.get(id)?.finish();
  }

  #checkRate(): void {
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#inSecond = 0;
    }
    if (++this.#inSecond <= QUESTIONS_PER_SECOND) return;
    const message = `more than ${QUESTIONS_PER_SECOND} questions to the cluster in a second; retry shortly`;
    throw new MegacometError('ERR_BUSY', message);
  }
}
