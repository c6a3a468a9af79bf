// A text that is costly to render, for any number of readers: each reader gets a current text while
// rendering takes little of the time of this process, and the last text otherwise.

/** Share of the time that rendering may take in the long run. */
const SHARE = 0.1;
/** Milliseconds of rendering that may follow each other after a pause. */
const BURST_MS = 250;
/** A text of this age is rendered again in any case. */
const AGE_MS_MAX = 1000;

export class Rendered<Text> {
  readonly #render: () => Promise<Text>;
  readonly #now: () => number;
  #text: Text | undefined;
  #renderedAtMs = -Infinity;
  #budgetMs = BURST_MS;
  #countedAtMs: number;
  #running: Promise<Text> | undefined;

  constructor(render: () => Promise<Text>, now: () => number = () => performance.now()) {
    this.#render = render;
    this.#now = now;
    this.#countedAtMs = now();
  }

  /** The text, at most a second old. Readers that ask meanwhile share one rendering. */
  get(): Promise<Text> {
    const now = this.#now();
    this.#budgetMs = Math.min(BURST_MS, this.#budgetMs + SHARE * (now - this.#countedAtMs));
    this.#countedAtMs = now;
    const isCurrent = this.#budgetMs <= 0 && now - this.#renderedAtMs < AGE_MS_MAX;
    if (this.#text !== undefined && isCurrent) return Promise.resolve(this.#text);
    this.#running ??= this.#run(now).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(startedAtMs: number): Promise<Text> {
    this.#text = await this.#render();
    this.#renderedAtMs = this.#now();
    this.#budgetMs -= this.#renderedAtMs - startedAtMs;
    return this.#text;
  }
}
