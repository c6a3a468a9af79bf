/** A field: its type and name in C++, and its name in TypeScript. */
export interface FrameField {
  readonly type: string;
  readonly name: string;
  readonly key: string;
}

export interface FrameLayout {
  readonly type: number;
  readonly name: string;
  readonly doc: string;
  readonly fields: readonly FrameField[];
}

export interface Enumeration {
  readonly name: string;
  readonly doc: string;
  readonly values: readonly (readonly [string, number])[];
}

export interface FrameHeader {
  readonly header: string;
  readonly frames: readonly FrameLayout[];
  readonly enumerations: readonly Enumeration[];
  readonly fingerprint: number;
}

export function readFrames(header: string, list: string): FrameHeader;
