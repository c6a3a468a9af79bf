// Presence and history as members of a JSON object, for the admin server and for clients. Infos stay
// as their tokens have them: JSON.parse() would round long numbers.
import type { ChannelHistoryPage, HistoryMessage } from './history-reader.js';
import type { MemberRow } from './members.js';
import type { GatheredPresence } from './presence.js';

export interface AnswerBounds {
  /** Members or messages at most. */
  readonly limit: number;
  /** Bytes of all of them; the first one is in the answer at any size. */
  readonly bytesMax: number;
}

/** The texts that fit, from the first on. */
function fitting<Item>(
  items: readonly Item[],
  { limit, bytesMax }: AnswerBounds,
  textOf: (item: Item) => string,
): readonly string[] {
  const texts: string[] = [];
  let bytes = 0;
  for (const item of items.slice(0, limit)) {
    const text = textOf(item);
    bytes += Buffer.byteLength(text) + 1;
    if (texts.length > 0 && bytes > bytesMax) break;
    texts.push(text);
  }
  return texts;
}

function memberText({ user, info, names }: MemberRow, hasNames: boolean): string {
  const parts = [
    ...(user === '' ? [] : [`"user":${JSON.stringify(user)}`]),
    ...(info === '' ? [] : [`"info":${info}`]),
    `"connections":${names.length}`,
    ...(hasNames ? [`"names":${JSON.stringify(names)}`] : []),
  ];
  return `{${parts.join(',')}}`;
}

/** @param hasNames - Whether connections are named, for applications that may close them. */
export function presenceMembers(
  { channel, subscribers, users, rows, isComplete }: GatheredPresence,
  bounds: AnswerBounds,
  hasNames: boolean,
): string {
  const members = fitting(rows, bounds, (row) => memberText(row, hasNames));
  const counts = `"channel":${JSON.stringify(channel)},"subscribers":${subscribers},"users":${users}`;
  const complete = isComplete && members.length === rows.length;
  return `${counts},"members":[${members.join(',')}],"complete":${complete}`;
}

function messageText({ channel, cursor, id, event, isBinary, data }: HistoryMessage): string {
  return JSON.stringify({
    channel,
    cursor,
    ...(id === '' ? {} : { id }),
    ...(event === '' ? {} : { event }),
    ...(isBinary ? { encoding: 'base64' } : {}),
    data: data.toString(isBinary ? 'base64' : 'utf8'),
  });
}

/** Messages have the form in which subscribers receive them. */
export function historyMembers(page: ChannelHistoryPage, bounds: AnswerBounds): string {
  const texts = fitting(page.messages, bounds, messageText);
  const isCut = texts.length < page.messages.length;
  const cursor = isCut ? page.messages[texts.length - 1]?.cursor : page.cursor;
  const rest = { cursor, complete: page.isComplete && !isCut, recovered: page.isRecovered };
  const channel = JSON.stringify(page.channel);
  return `"channel":${channel},"messages":[${texts.join(',')}],${JSON.stringify(rest).slice(1, -1)}`;
}
