// A doubly linked list whose links are members of its items. An item is removed from anywhere
// without a search, and a million empty lists cost less than a million arrays.

/** The links of an item, which is in at most one chain. */
export interface Link<Item> {
  previous: Item | null;
  next: Item | null;
}

export class Chain<Item extends Link<Item>> {
  first: Item | null = null;
  last: Item | null = null;

  /** Appends an item that is not in a chain. */
  push(item: Item): void {
    item.previous = this.last;
    item.next = null;
    if (this.last === null) this.first = item;
    else this.last.next = item;
    this.last = item;
  }

  /** Prepends an item that is not in a chain. */
  unshift(item: Item): void {
    item.previous = null;
    item.next = this.first;
    if (this.first === null) this.last = item;
    else this.first.previous = item;
    this.first = item;
  }

  /** Removes an item that is in this chain. */
  remove(item: Item): void {
    if (item.previous === null) this.first = item.next;
    else item.previous.next = item.next;
    if (item.next === null) this.last = item.previous;
    else item.next.previous = item.previous;
    item.previous = null;
    item.next = null;
  }

  /** Forgets all items. Their links are invalid afterwards. */
  clear(): void {
    this.first = null;
    this.last = null;
  }
}
