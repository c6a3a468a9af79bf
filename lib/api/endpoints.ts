// The endpoints of the admin server: the method, the media types and the role of each. A row is all
// that the gate (admin-gate.ts) needs; the handlers are in admin.ts and publish-api.ts.

/** The roles of tokens: reading numbers, publishing messages, or everything. */
export const ROLES = ['metrics', 'publish', 'admin'] as const;

export type Role = (typeof ROLES)[number];

export const JSON_TYPE = 'application/json';
/** A batch of lines. */
export const LINES_TYPE = 'application/x-ndjson';
const LINES_TYPES = [LINES_TYPE, 'application/jsonl'];

export interface Endpoint {
  readonly method: 'GET' | 'POST';
  /** The role that a request needs; null for none. The role admin includes the others. */
  readonly role: Role | null;
  /** Media types of the body of a POST. A page of another site cannot send them without asking. */
  readonly types?: readonly string[];
  /** The only protocol whose servers have the endpoint. */
  readonly protocol?: 'comet';
}

const COMET_PAGE = { method: 'GET', protocol: 'comet' } as const;
const JSON_BODY = { method: 'POST', types: [JSON_TYPE], protocol: 'comet' } as const;

/** Every change of state is a POST with a body of JSON, and needs a token. */
export const ENDPOINTS = {
  '/healthz': { method: 'GET', role: null },
  '/readyz': { method: 'GET', role: null },
  '/stats': { method: 'GET', role: 'metrics' },
  '/metrics': { method: 'GET', role: 'metrics' },
  '/publish': { ...JSON_BODY, types: [JSON_TYPE, ...LINES_TYPES], role: 'publish' },
  '/info': { method: 'GET', role: 'metrics' },
  '/broadcast': { ...JSON_BODY, role: 'publish' },
  '/subscribe': { ...JSON_BODY, role: 'admin' },
  '/unsubscribe': { ...JSON_BODY, role: 'admin' },
  '/disconnect': { ...JSON_BODY, role: 'admin' },
  '/kick': { ...JSON_BODY, role: 'admin' },
  '/revoke': { ...JSON_BODY, role: 'admin' },
  '/channels': { ...COMET_PAGE, role: 'admin' },
  '/presence': { ...COMET_PAGE, role: 'admin' },
  '/history': { ...COMET_PAGE, role: 'admin' },
} as const satisfies Readonly<Record<string, Endpoint>>;

/** The paths of the endpoints that every server has, or that only a comet server has. */
export type ServerPath = {
  [Path in keyof typeof ENDPOINTS]: (typeof ENDPOINTS)[Path] extends { readonly protocol: 'comet' }
    ? never
    : Path;
}[keyof typeof ENDPOINTS];
export type CometPath = Exclude<keyof typeof ENDPOINTS, ServerPath>;

/** The endpoint of a path, with all its fields; undefined for an unknown path. */
export function endpointOf(path: string): Endpoint | undefined {
  return Object.hasOwn(ENDPOINTS, path) ? ENDPOINTS[path as keyof typeof ENDPOINTS] : undefined;
}

/** The endpoint of all other paths in metrics: a client may invent any number of them. */
const OTHER = 'other';
/** Classes of statuses: no endpoint redirects. */
const CLASSES = ['2xx', '4xx', '5xx'] as const;

/** Responses by endpoint and class of status: `{"/publish": {"2xx": 5, "4xx": 0, "5xx": 0}}`. */
export type EndpointCounts = Readonly<
  Record<string, Readonly<Record<(typeof CLASSES)[number], number>>>
>;

/** Counts the responses of each endpoint. */
export class ResponseCounts {
  readonly #counts = new Map(
    [...Object.keys(ENDPOINTS), OTHER].map((path) => [path, { '2xx': 0, '4xx': 0, '5xx': 0 }]),
  );

  get values(): EndpointCounts {
    return Object.fromEntries([...this.#counts].map(([path, counts]) => [path, { ...counts }]));
  }

  /** @param path - The path of a request, which may be unknown. */
  add(path: string, status: number): void {
    const name = CLASSES.find((one) => one.startsWith(String(status).charAt(0)));
    const counts = this.#counts.get(path) ?? this.#counts.get(OTHER);
    if (name !== undefined && counts !== undefined) counts[name]++;
  }
}

/** Whether a body is a batch of lines. */
export function isLinesType(type: string): boolean {
  return LINES_TYPES.includes(type);
}
