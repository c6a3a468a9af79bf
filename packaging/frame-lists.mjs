// Reads the lists of control frames and their enumerations from the headers of native/ipc/.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { PackagingError, ROOT } from './tools.mjs';

const FIELD_TYPES = ['u8', 'u32', 'u64', 'text', 'blob', 'numbers', 'texts'];

/** `accepted_total` as `acceptedTotal`. */
export const camelCase = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** `kDropOldest` as `dropOldest`. */
const valueName = (identifier) => identifier[1].toLowerCase() + identifier.slice(2);

/** `/// text` of several lines as one text, with the names of TypeScript. */
export const docOf = (lines) =>
  lines
    .replace(/^\/\/\/ ?/gm, '')
    .replace(/\s+/g, ' ')
    .replace(/`[a-z_]+`/g, camelCase)
    .replace(/\bk[A-Z]\w+/g, valueName)
    .trim();

function macrosOf(text) {
  const macros = new Map();
  const pattern = /((?:^\/\/\/.*\n)*)^#define MC_(\w+)\([FX]\)((?:.*\\\n)*.*)$/gm;
  for (const [, doc, name, body] of text.matchAll(pattern)) {
    macros.set(`MC_${name}`, { doc: docOf(doc), body: body.replaceAll('\\\n', ' ') });
  }
  return macros;
}

function fieldsOf({ body }, macro) {
  return [...body.matchAll(/F\((\w+), (\w+)\)/g)].map(([, type, name]) => {
    if (!FIELD_TYPES.includes(type)) {
      throw new PackagingError(`${macro}: ${type} is not a field type`);
    }
    return { type, name, key: camelCase(name) };
  });
}

function framesOf(text, list) {
  const macros = macrosOf(text);
  const rows = macros.get(list)?.body.matchAll(/X\(\w+, (\d+), (\w+), (\w+)\)/g) ?? [];
  return [...rows].map(([, type, name, macro]) => {
    const found = macros.get(macro);
    if (found === undefined) throw new PackagingError(`${list}: ${macro} is not defined`);
    return { type: Number(type), name, doc: found.doc, fields: fieldsOf(found, macro) };
  });
}

/** `enum class` and namespaces of constants, as names and numbers. */
function enumerationsOf(text) {
  const classes = /((?:^\/\/\/.*\n)+)^enum class (\w+) : \w+ \{([^()}]*)\};/gm;
  const flags = /((?:^\/\/\/.*\n)+)^namespace (\w+) \{\n((?:constexpr .*\n)+)\}/gm;
  return [
    ...[...text.matchAll(classes)].map(([, doc, name, values]) => ({
      name,
      doc: docOf(doc),
      values: [...values.matchAll(/\bk\w+/g)].map(([value], index) => [valueName(value), index]),
    })),
    ...[...text.matchAll(flags)].map(([, doc, name, values]) => ({
      name: camelCase(`_${name}`),
      doc: docOf(doc),
      values: [...values.matchAll(/(k\w+) = (\d+);/g)].map(([, value, number]) => [
        valueName(value),
        Number(number),
      ]),
    })),
  ];
}

/** FNV-1a of the list as frame_codec.h writes it, MC_FRAME_TEXT. */
function fingerprintOf(frames) {
  const line = ({ type, name, fields }) =>
    `${type} ${name}${fields.map((field) => ` ${field.type} ${field.name}`).join('')}\n`;
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(frames.map(line).join(''))) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}

/**
 * A list of frames.
 *
 * @param header - A file of native/ipc/.
 * @param list - The macro with its rows.
 */
export function readFrames(header, list) {
  const text = readFileSync(join(ROOT, 'native/ipc', header), 'utf8');
  const frames = framesOf(text, list);
  if (frames.length === 0) throw new PackagingError(`${header}: ${list} has no frames`);
  return { header, frames, enumerations: enumerationsOf(text), fingerprint: fingerprintOf(frames) };
}
