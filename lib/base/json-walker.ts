// Steps over a text that JSON.parse() has accepted: it needs to look at the first character only.

/** Blanks of JSON (RFC 8259, 2). */
const BLANKS = ' \t\r\n';
/** The characters that end a number, true, false or null, besides the end of the text. */
const ENDS = `,]}${BLANKS}`;

export class JsonWalker {
  protected position = 0;
  constructor(readonly text: string) {}

  get at(): number {
    return this.position;
  }

  protected get character(): string {
    return this.text.charAt(this.position);
  }

  /** The next character that is not a blank; empty at the end. */
  peek(): string {
    while (this.character !== '' && BLANKS.includes(this.character)) this.position++;
    return this.character;
  }

  /** Skips the next character that is not a blank. */
  step(): void {
    this.peek();
    this.position++;
  }

  /** Skips a string, which begins here. */
  string(): void {
    for (;;) {
      this.position = this.text.indexOf('"', this.position + 1);
      let escapes = 0;
      while (this.text.charAt(this.position - 1 - escapes) === '\\') escapes++;
      if (escapes % 2 === 0) break;
    }
    this.position++;
  }

  /** Skips a number, true, false or null. */
  scalar(): void {
    while (this.character !== '' && !ENDS.includes(this.character)) this.position++;
  }
}
