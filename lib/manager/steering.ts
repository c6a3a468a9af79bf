// Which workers get new connections, computed from their free capacity. Pure.
/**
 * The slots that shall watch a socket that all share: a few with room. Those that watch already
 * come first while they have room, so that the watch seldom moves.
 *
 * @param free - Connections that each slot can still take.
 * @param crowdedAt - Free places up to which a slot counts as full.
 */
export function watchersOf(
  free: readonly number[],
  watching: ReadonlySet<number>,
  crowdedAt: number,
  count: number,
): Set<number> {
  const order = [...free.keys()].filter((slot) => (free[slot] ?? 0) > 0);
  const rank = (slot: number): number =>
    ((free[slot] ?? 0) > crowdedAt ? 0 : 2) + (watching.has(slot) ? 0 : 1);
  order.sort((a, b) => rank(a) - rank(b) || (free[b] ?? 0) - (free[a] ?? 0));
  return new Set(order.slice(0, count));
}
