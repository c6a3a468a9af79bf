// A doubly linked list whose links are members of its items. An item leaves from anywhere
// without a search, and an array of a million lists would cost more.

/** What an item needs; it is in one chain at a time. */
export interface Link<Item> {
  previous: Item | null;
  next: Item | null;
}

export class Chain<Item extends Link<Item>> {
  first: Item | null = null;
  last: Item | null = null;

  /** Adds an item that is in no chain behind the last. */
  push(item: Item): void {
    item.previous = this.last;
    item.next = null;
    if (this.last === null) this.first = item;
    else this.last.next = item;
    this.last = item;
  }

  /** Adds an item that is in no chain before the first. */
  unshift(item: Item): void {
    item.previous = null;
    item.next = this.first;
    if (this.first === null) this.last = item;
    else this.first.previous = item;
    this.first = item;
  }

  /** Takes out an item that is in this chain. */
  remove(item: Item): void {
    if (item.previous === null) this.first = item.next;
    else item.previous.next = item.next;
    if (item.next === null) this.last = item.previous;
    else item.next.previous = item.previous;
    item.previous = null;
    item.next = null;
  }
}
