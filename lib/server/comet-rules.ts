// The fields of the Comet frame that options fill, as the rows of the options name them.
import { CometFlag } from '../ipc/frames.js';
import { COMET_OPTIONS } from '../options/comet-options.js';
import type { FrameFlag, OptionSpec } from '../options/option-spec.js';
import { keyOf, type Settings } from '../options/options.js';
import type { FilledTable } from './server-options.js';

type Row = (typeof COMET_OPTIONS)[number];

/** The names of the fields of one type. */
type FieldOf<Type extends string> = Row extends infer Each
  ? Each extends { readonly frame: { readonly [Key in Type]: infer Field extends string } }
    ? Field
    : never
  : never;

type CometRules = Record<FieldOf<'u32'>, number> &
  Record<FieldOf<'u64'>, bigint> &
  Record<FieldOf<'texts'>, readonly string[]> & { readonly flags: number };

const FLAGS: Readonly<Record<FieldOf<'flag'>, number>> = CometFlag;

function isRaised(frame: FrameFlag, value: unknown): boolean {
  if (frame.isSet === true) return value !== undefined;
  return value === (frame.is ?? true);
}

/** Reads each option that has a field in the Comet frame, and converts its value to that field. */
export function cometRules(options: FilledTable): CometRules {
  const settings = options as Settings;
  const fields: Record<string, unknown> = {};
  let flags = 0;
  for (const { name, frame } of COMET_OPTIONS as readonly OptionSpec[]) {
    const value = settings[keyOf(name)];
    if (frame === undefined) continue;
    if ('u32' in frame) fields[frame.u32] = value;
    else if ('u64' in frame) fields[frame.u64] = BigInt(value as number);
    else if ('texts' in frame) fields[frame.texts] = value ?? [];
    else if (isRaised(frame, value)) flags |= FLAGS[frame.flag as keyof typeof FLAGS];
  }
  return { ...fields, flags } as CometRules;
}
