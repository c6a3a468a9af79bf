// The names of connections: slot, life of the worker, descriptor and generation, and before them the
// node of a cluster. Names of nodes have no dot.

/** The name of a connection of a node; an only server has an empty name. */
export function memberNameOf(node: string, localName: string): string {
  return node === '' ? localName : `${node}.${localName}`;
}

/** The node of a connection; empty for a name without one. */
export function nodeOfMember(name: string): string {
  return name.slice(0, Math.max(0, name.indexOf('.')));
}

/** The name of a connection on its node. */
export function localNameOf(name: string): string {
  return name.slice(name.indexOf('.') + 1);
}
