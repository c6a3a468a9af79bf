// The rules about the shape of the source tree: headers, length of functions, lines and files, open
// work, and tests that must run. Pure functions: files in, problems out.
import {
  headerLines,
  PRODUCT_FILE,
  SOURCE_FILE,
  type Check,
  type Problem,
  type SourceFile,
} from './source.js';

const FILE_LINES_MAX = 600;
const FILE_BYTES_MAX = 400 * 1024;
const HEADER_LINES_MAX = 6;

export const headers: Check = (files) =>
  files
    .filter(({ path }) => SOURCE_FILE.test(path))
    .flatMap(({ path, text }) => {
      const count = headerLines(text).length;
      if (count >= 1 && count <= HEADER_LINES_MAX) return [];
      const message =
        count === 0
          ? 'has no header: start with a comment that names what the file owns'
          : `has a header of ${count} lines: shorten it to ${HEADER_LINES_MAX}, or put a blank comment line after the summary`;
      return [{ path, line: 1, message }];
    });

/** Runs `messageFor` over the lines of the files whose path matches. */
function eachLine(
  files: readonly SourceFile[],
  paths: RegExp,
  messageFor: (line: string) => string | undefined,
): Problem[] {
  return files
    .filter(({ path }) => paths.test(path))
    .flatMap(({ path, text }) =>
      text.split('\n').flatMap((content, index) => {
        const message = messageFor(content);
        return message ? [{ path, line: index + 1, message }] : [];
      }),
    );
}

/** Written with a character class, so that this file does not match itself. */
const FIX_ME = /\bFIX[M]E\b/;
const TO_DO = /\bTO[D]O\b(?!\(#\d+\):)/;

export const openEnds: Check = (files) =>
  eachLine(files, SOURCE_FILE, (line) => {
    if (FIX_ME.test(line)) return 'asks to be fixed: fix it, or open an issue and write its number';
    return TO_DO.test(line) ? 'names no issue: put its number behind the word, (#123):' : undefined;
  });

export const fileSize: Check = (files) =>
  files.flatMap(({ path, text, bytes }) => {
    const lines = text.split('\n').length - 1;
    if (PRODUCT_FILE.test(path) && lines > FILE_LINES_MAX) {
      const message = `has ${lines} lines: split it by what it owns, ${FILE_LINES_MAX} is the most`;
      return [{ path, line: FILE_LINES_MAX + 1, message }];
    }
    if (bytes <= FILE_BYTES_MAX) return [];
    const message = `has ${Math.ceil(bytes / 1024)} KiB: keep it out of git, 400 KiB is the most`;
    return [{ path, line: 1, message }];
  });
