// The answer of a node to a question about presence, and the presence of the cluster from those of
// all nodes. An answer has no node in the names of connections: the entry names its writer.
import type { JsonObject } from './log-json.js';
import type { Answers } from './log-questions.js';
import { MemberList, type MemberRow } from './members.js';
import { localNameOf, memberNameOf } from './member-name.js';
import type { GatheredPresence } from './presence.js';

/** Bytes of one answer: every node reads each of them. */
export const ANSWER_BYTES_MAX = 1024 * 1024;
/** The same for a client, which receives at most 128 KiB: clients ask more often. */
export const CLIENT_ANSWER_BYTES_MAX = 128 * 1024;
/** Quotes, comma and brackets around a text of a row. */
const TEXT_BYTES = 4;

interface PresenceAnswer {
  readonly subscribers: number;
  readonly isComplete: boolean;
  /** Each is a user, its info, and the names of its connections. */
  readonly rows: readonly (readonly string[])[];
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) + TEXT_BYTES;
}

/** The presence of one node as an answer; members beyond its bytes are missing. */
export function presenceAnswer(
  { subscribers, rows, isComplete }: GatheredPresence,
  bytesMax: number,
): PresenceAnswer & JsonObject {
  const fitting: string[][] = [];
  let bytes = 0;
  for (const { user, info, names } of rows) {
    const row = [user, info];
    bytes += jsonBytes(user) + jsonBytes(info);
    for (const name of names.map(localNameOf)) {
      bytes += name.length + TEXT_BYTES;
      if (bytes > bytesMax) return { subscribers, rows: fitting, isComplete: false };
      // A row counts once it has a connection.
      if (row.length === 2) fitting.push(row);
      row.push(name);
    }
  }
  return { subscribers, rows: fitting, isComplete };
}

function isRow(row: unknown): row is readonly string[] {
  return Array.isArray(row) && row.every((text) => typeof text === 'string');
}

/** Null for an answer without a presence: the node is of another version, or it is busy. */
function readAnswer({ subscribers, isComplete, rows }: JsonObject): PresenceAnswer | null {
  if (typeof subscribers !== 'number' || !Array.isArray(rows) || !rows.every(isRow)) return null;
  return { subscribers, isComplete: isComplete === true, rows };
}

/** The presence of the cluster, with some connections at most. */
export function mergedPresence(
  channel: string,
  { answers, isComplete: haveAllAnswered }: Answers,
  limit: number,
): GatheredPresence {
  const list = new MemberList();
  const add = (row: MemberRow, names: readonly string[]): boolean => {
    const fitting = names.slice(0, limit - list.connections);
    for (const name of fitting) list.add(row, name);
    return fitting.length === names.length;
  };
  let subscribers = 0;
  let isComplete = haveAllAnswered;
  for (const { node, answer } of answers) {
    const part = readAnswer(answer);
    subscribers += part?.subscribers ?? 0;
    isComplete &&= part?.isComplete === true;
    for (const [user = '', info = '', ...names] of part?.rows ?? []) {
      const row = list.rowOf(user, info);
      const isWhole = add(
        row,
        names.map((name) => memberNameOf(node, name)),
      );
      isComplete &&= isWhole;
    }
  }
  return { channel, subscribers, users: list.users, rows: list.rows, isComplete };
}
