// The workers' link to the broker of a server that asks an application about clients: hook requests
// go to the authorization, and all other frames to the broker.
import type { Authorization } from '../access/authorization.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frame, Frames } from '../ipc/frames.js';
import type { WorkerPort } from '../ipc/worker-port.js';
import type { BrokerLink } from '../manager/manager.js';

export class HookedBroker implements BrokerLink {
  readonly #broker: BrokerLink;
  readonly #authorization: Authorization;
  readonly #rules: Frames['Hooks'];

  constructor(broker: BrokerLink, authorization: Authorization, rules: Frames['Hooks']) {
    this.#broker = broker;
    this.#authorization = authorization;
    this.#rules = rules;
  }

  openingFrames(): readonly Buffer[] {
    return [...this.#broker.openingFrames(), encodeFrame('Hooks', this.#rules)];
  }

  attach(port: WorkerPort): void {
    this.#broker.attach(port);
    this.#authorization.attach(port);
  }

  workerGone(slot: number): void {
    this.#authorization.workerGone(slot);
    this.#broker.workerGone(slot);
  }

  drained(): void {
    this.#broker.drained();
  }

  onFrame(slot: number, frame: Frame): void {
    if (frame.name === 'HookRequest') this.#authorization.onRequest(slot, frame.fields);
    else this.#broker.onFrame(slot, frame);
  }
}
