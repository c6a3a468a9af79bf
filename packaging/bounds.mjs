// Reads the bounds of native/base/bounds.h, and the choices of `--protocol`, that TypeScript uses as
// well.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { docOf } from './frame-lists.mjs';
import { PackagingError, ROOT } from './tools.mjs';

/** `kSlotsMax` as `SLOTS_MAX`. */
const constantName = (identifier) =>
  identifier
    .slice(1)
    .replace(/(?<!^)([A-Z])/g, '_$1')
    .toUpperCase();

/** The value of a product of whole numbers, such as `size_t{64} * 1024`. */
function valueOf(identifier, expression) {
  const factors = expression
    .replace(/size_t\{(\d+)\}/g, '$1')
    .replaceAll("'", '')
    .split(' * ');
  if (factors.every((factor) => /^\d+$/.test(factor))) {
    return factors.reduce((product, factor) => product * Number(factor), 1);
  }
  throw new PackagingError(`bounds.h: ${identifier}: ${expression} is not a whole number`);
}

/** Bounds by their names in C++, as name, comment and value in TypeScript. */
export function readBounds(identifiers) {
  const text = readFileSync(join(ROOT, 'native/base/bounds.h'), 'utf8');
  return identifiers.map((identifier) => {
    const row = new RegExp(`((?:^///.*\\n)+)^constexpr \\w+ ${identifier} = (.*);$`, 'm').exec(
      text,
    );
    if (row === null) throw new PackagingError(`bounds.h: ${identifier} is missing`);
    const [, doc, expression] = row;
    return {
      name: constantName(identifier),
      doc: docOf(doc),
      value: valueOf(identifier, expression),
    };
  });
}

/** The choices of `--protocol`, from the list of protocols. */
export function readProtocolChoices() {
  const text = readFileSync(join(ROOT, 'native/connection/protocol.h'), 'utf8');
  const [, list = ''] = /^#define MC_PROTOCOLS\(X\)((?:.*\\\n)+.*)$/m.exec(text) ?? [];
  const choices = [...list.matchAll(/X\(\w+, "(\w+)"\)/g)].map(([, choice]) => choice);
  if (choices.length === 0) throw new PackagingError('protocol.h: MC_PROTOCOLS is missing');
  return choices;
}
