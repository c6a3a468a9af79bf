// Patterns of channel names, as grants of tokens have them. native/auth/grants.cc has the same rules.

/**
 * Whether a segment with stars stands for another. Remembers the last star only, so the time is at
 * most the product of both lengths.
 */
function isMatch(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let resumed = 0;
  for (let done = 0; done < text.length;) {
    if (pattern[at] === '*') {
      star = at++;
      resumed = done;
    } else if (at < pattern.length && pattern[at] === text[done]) {
      at++;
      done++;
    } else if (star !== -1) {
      at = star + 1;
      done = ++resumed;
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(at));
}

/**
 * A text that stands for names. A star stands for any characters but `/`, as in `team-*` + `/chat`;
 * a star alone in the last segment stands for all that follows.
 */
export class NamePattern {
  readonly #segments: readonly string[];
  readonly #hasRest: boolean;

  constructor(text: string) {
    const segments = text.split('/');
    this.#hasRest = segments.at(-1) === '*';
    this.#segments = this.#hasRest ? segments.slice(0, -1) : segments;
  }

  covers(name: string): boolean {
    const parts = name.split('/');
    const own = this.#segments;
    const hasLength = this.#hasRest ? parts.length > own.length : parts.length === own.length;
    return hasLength && own.every((segment, at) => isMatch(segment, parts[at] ?? ''));
  }
}
