// Generated from the option tables by packaging/docs/configuration-types.mjs: npm run docs.
import type { Authorize } from '../base/authorize.js';
import type { Logger } from '../base/logger.js';

/** Options of {@link createServer}; each is also an option of `megacomet-ts serve`. */
export interface ServerOptions {
  /** Numeric address to listen on, or localhost; :: accepts IPv4 peers too. Default: `::`. */
  host?: string;
  /** Port to listen on, or a range such as 8000-8007; 0 lets the kernel choose. Default: `8000`. */
  port?: number | string;
  /**
   * Address to listen on instead of host and port: HOST:PORT, [V6]:PORT, :PORT or unix:PATH;
   * tls:HOST:PORT with --tls-cert. Default: host and port.
   */
  listen?: readonly string[];
  /**
   * Worker processes; auto starts one per core, and more if the file limit requires it. Default:
   * `auto`.
   */
  workers?: number | 'auto';
  /** Maximum number of open connections. Default: the capacity of the machine. */
  maxConnections?: number;
  /**
   * Protocol of the connections; comet serves SSE, WebSocket, long polling and streams. Default:
   * `echo`.
   */
  protocol?: 'comet' | 'echo';
  /**
   * Maximum number of unaccepted connections, per worker; net.core.somaxconn caps it. Default:
   * `4096`.
   */
  backlog?: number;
  /**
   * Seconds without a byte after which a connection is closed, up to a quarter later; 0 never.
   * Default: `0`.
   */
  idleTimeout?: number;
  /**
   * Connections accepted per second, split evenly over the workers; 0 means no limit. Default: `0`.
   */
  acceptRate?: number;
  /**
   * Seconds of silence until the kernel sends TCP keep-alive probes; 0 sends none. Default: `240`.
   */
  keepalive?: number;
  /** Seconds without a heartbeat of its loop until a worker is replaced. Default: `10`. */
  heartbeatLimit?: number;
  /**
   * User that the server becomes after it has bound its sockets, if root starts it: USER or
   * USER:GROUP, names or numbers. Default: the user that starts the server.
   */
  user?: string;
  /**
   * Permissions of the unix sockets of --listen in octal digits, such as 0660. Default: the umask
   * decides.
   */
  socketMode?: string;
  /** Group of the unix sockets of --listen, by name or number. Default: the group of the server. */
  socketGroup?: string;
  /**
   * File with a certificate and its issuers as PEM; repeat it for several host names, of which a
   * client chooses one. The addresses of --listen tls:HOST:PORT have TLS then, and without --listen
   * all. SIGHUP reads the files again. Default: no TLS.
   */
  tlsCert?: Uint8Array | string | readonly (Uint8Array | string)[];
  /**
   * File with the private key of a certificate as PEM, not encrypted, in the order of --tls-cert.
   * Default: required with --tls-cert.
   */
  tlsKey?: Uint8Array | string | readonly (Uint8Array | string)[];
  /**
   * File with the issuers of client certificates as PEM: every client with TLS needs one then. Its
   * subject, such as CN=alice,O=Example, is the user of the connection, which ends with the
   * certificate. Default: clients need no certificate.
   */
  tlsClientCa?: Uint8Array | string | readonly (Uint8Array | string)[];
  /**
   * Oldest version of TLS that clients may use. A client with 1.2 costs up to 29 kB while it is
   * idle. Default: `1.2`.
   */
  tlsMinVersion?: '1.2' | '1.3';
  /**
   * Maximum number of connections with TLS 1.2, which cost 14 to 29 kB each. Beyond it, clients
   * that do not know TLS 1.3 are rejected. 0 rejects all of them. Default: `10000`.
   */
  tls12Connections?: number;
  /**
   * Groups of the key exchange in the order of preference, separated by colons, such as
   * X25519:P-256. Default: those of OpenSSL.
   */
  tlsGroups?: string;
  /**
   * Ciphers, separated by colons: names that begin with TLS_ are the suites of TLS 1.3, the others
   * those of TLS 1.2. Default: those of OpenSSL.
   */
  tlsCiphers?: string;
  /**
   * File with a secret of at least 32 bytes, from which the keys of session tickets are derived for
   * every 12 hours: servers with the same file and clocks resume the sessions of each other. SIGHUP
   * reads the file again. Default: random keys, which no other server has.
   */
  tlsTicketKeyFile?: string;
  /**
   * Numeric address of the admin server: health, readiness, stats, metrics. Default: `127.0.0.1`.
   */
  adminHost?: string;
  /** Port of the admin server; 0 lets the kernel choose. Default: no admin server. */
  adminPort?: number;
  /**
   * Address of the admin server instead of admin-host and admin-port: HOST:PORT, [V6]:PORT,
   * unix:PATH, or tls:HOST:PORT with the certificates of --tls-cert. Default: admin-host and
   * admin-port.
   */
  adminListen?: readonly string[];
  /**
   * Permissions of the unix sockets of --admin-listen in octal digits. Default: 0600, or 0660 with
   * admin-socket-group.
   */
  adminSocketMode?: string;
  /**
   * Group of the unix sockets of --admin-listen, by name or number. Default: the group of the
   * server.
   */
  adminSocketGroup?: string;
  /**
   * Name that requests without a token may have in their Host, besides addresses and localhost.
   * Default: addresses and localhost.
   */
  adminAllowedHost?: readonly string[];
  /** Token of the admin server with the role admin. Default: a token that the server generates. */
  adminToken?: string;
  /**
   * File whose only line is the token with the role admin; readable by its owner alone. Default: no
   * file.
   */
  adminTokenFile?: string;
  /**
   * Further token of the admin server: metrics=FILE, publish=FILE or admin=FILE, as in
   * admin-token-file. Default: none.
   */
  adminRole?: readonly string[];
  /**
   * Comet: seconds between heartbeats of an idle subscriber, and until a missing pong closes it.
   * Default: `25`.
   */
  heartbeat?: number;
  /** Comet: maximum number of seconds that a long poll waits for a message. Default: `30`. */
  pollTimeout?: number;
  /**
   * Comet: seconds in which a client must send a whole request or WebSocket message, because an
   * incomplete one holds memory; enough for a mobile network that sends a lost packet again.
   * Default: `10`.
   */
  handshakeTimeout?: number;
  /**
   * Comet: seconds that a connection waits for its next request; more than a proxy in front waits.
   * Default: `75`.
   */
  keepAliveTimeout?: number;
  /**
   * Comet: maximum number of bytes of the request line and header of a request, which is held until
   * it is complete. Cookies and tokens need more than the usual 8 KiB. Default: `32768`.
   */
  httpHeaderBytes?: number;
  /**
   * Comet: maximum number of header fields of a request, because each costs time of the worker.
   * Default: `100`.
   */
  httpHeaderCount?: number;
  /**
   * Comet: seconds in which a client must receive some of its queued output, because that holds
   * memory. Default: `30`.
   */
  writeTimeout?: number;
  /**
   * Comet: seconds that a worker keeps a channel without subscribers, for polls that reconnect. At
   * least poll-timeout. Default: `60`.
   */
  channelRetention?: number;
  /** Comet: approximate milliseconds after which an EventSource reconnects. Default: `2000`. */
  retry?: number;
  /** Comet: maximum number of bytes of one message. Default: `65536`. */
  messageBytes?: number;
  /**
   * Comet: maximum number of bytes queued for one slow client. At least message-bytes. Default:
   * `65536`.
   */
  sendQueueBytes?: number;
  /**
   * Comet: maximum number of bytes queued for all slow clients of one worker. Default: `268435456`.
   */
  workerSendQueueBytes?: number;
  /**
   * Comet: maximum number of bytes of incomplete requests and messages in one worker. Default:
   * `67108864`.
   */
  workerInputBytes?: number;
  /**
   * Comet: maximum number of channels that one connection may subscribe to, because each costs
   * memory while the connection is open. Default: `128`.
   */
  channelsPerConnection?: number;
  /** Comet: messages kept of each channel; 0 keeps none. Default: `100`. */
  historyCount?: number;
  /** Comet: seconds that a message is kept. Default: `300`. */
  historyAge?: number;
  /** Comet: maximum number of bytes of the kept messages of all channels. Default: `134217728`. */
  historyBytes?: number;
  /** Comet: options for the channels below a prefix, by pattern. Default: none. */
  namespaces?: Namespaces;
  /**
   * Comet: serve mailboxes at /ID.js, for deliver() of the library; --ingest serves them too.
   * Default: `false`.
   */
  mailboxes?: boolean;
  /** Comet: seconds that a message waits for a client that polls /ID.js. Default: `60`. */
  mailboxTime?: number;
  /**
   * Comet: HOST:PORT that accepts messages for /ID.js over plain TCP; use a loopback address.
   * Default: off.
   */
  ingest?: string;
  /**
   * Comet: origin whose pages may read responses and open WebSockets; * allows all. Default: the
   * server's own origin.
   */
  origin?: readonly string[];
  /** Comet: whether WebSockets may use permessage-deflate. Default: `on`. */
  websocketCompression?: 'off' | 'on';
  /** Comet: webSocket subprotocol that is accepted if a client offers it. Default: none. */
  websocketSubprotocol?: readonly string[];
  /** Comet: let WebSocket clients publish. Default: `false`. */
  clientPublish?: boolean;
  /**
   * Comet: messages per second that one client may publish, with bursts of one second, because one
   * client could fill the queues of all others; 0 means no limit. Default: `100`.
   */
  clientPublishRate?: number;
  /**
   * Comet: messages per second that all clients together may publish, split evenly over the
   * workers, because the manager numbers each message in one thread; 0 means no limit. Default:
   * `10000`.
   */
  allClientsPublishRate?: number;
  /** Comet: serve /ws-echo, for conformance tests. Default: `false`. */
  wsEcho?: boolean;
  /**
   * Comet: URL of the log that all nodes of a cluster share: redis://HOST:PORT/DB, rediss:// with
   * TLS, or redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB, nats://HOST:PORT,HOST:PORT or tls:// for
   * NATS with TLS. A user comes before an @. Default: the messages are in the memory of this
   * server.
   */
  engine?: string;
  /** Comet: password of the engine. Default: no password. */
  enginePassword?: string;
  /**
   * Comet: file whose only line is the password of the engine. It is read again for each
   * connection. Default: no file.
   */
  enginePasswordFile?: string;
  /**
   * Comet: file with the issuers of the certificate of the engine as PEM. Default: those of
   * Node.js.
   */
  engineCa?: string;
  /**
   * Comet: name of the log: clusters with different names share an engine. It begins all keys in
   * Redis. Default: `megacomet`.
   */
  engineLog?: string;
  /**
   * Comet: bytes of messages that the log keeps at least, in the memory of Redis; the same on all
   * nodes. Default: `67108864`.
   */
  engineKeepBytes?: number;
  /**
   * Comet: replicas of Redis that must have a message before its publisher gets the answer.
   * Default: `0`.
   */
  engineWait?: number;
  /**
   * Comet: whether a server without its engine for 15 s keeps its clients, or closes them evenly
   * and rejects others until the engine is back. Default: `keep`.
   */
  engineDown?: 'close' | 'keep';
  /**
   * Comet: file of NATS with the credentials of a user. It is read again for each connection.
   * Default: no file.
   */
  engineCredentials?: string;
  /**
   * Comet: servers of NATS that keep a copy of the log, when a node makes its stream. Default: `1`.
   */
  engineReplicas?: number;
  /**
   * Comet: directory that keeps the history over restarts, of this server alone. Its parent must
   * exist. Default: memory, which a restart of the server clears.
   */
  historyDir?: string;
  /**
   * Comet: when a publish is answered: group, after an fdatasync that it shares with others;
   * always, after its own; or milliseconds from 1 to 60000, before the fdatasync that follows
   * within that time. Default: `group`.
   */
  historySync?: string;
  /**
   * Comet: key of the tokens of clients: HS256=FILE with a secret of at least 32 bytes, or RS256=,
   * ES256= or EdDSA=FILE with a public key as PEM or JWK. ALG:KID=FILE names the key; SIGHUP reads
   * the files again. Default: clients need no token.
   */
  tokenKey?: readonly string[];
  /**
   * Comet: URL of a JSON Web Key Set with more keys of tokens, such as that of an identity
   * provider: https, or http to a loopback address. The keys are fetched again in time, for an
   * unknown key, and at SIGHUP. Default: only the keys of --token-key.
   */
  tokenJwksUrl?: string;
  /** Comet: text that the claim iss of every token must be. Default: any issuer. */
  tokenIssuer?: string;
  /** Comet: text that the claim aud of every token must contain. Default: any audience. */
  tokenAudience?: string;
  /**
   * Comet: seconds by which the clocks of issuer and server may differ when a token is presented; a
   * connection ends at its exp all the same. Default: `10`.
   */
  tokenLeeway?: number;
  /**
   * Comet: accept tokens without the claim exp, which never end and outlive their revocation: for
   * issuers that do not send it yet. Default: `false`.
   */
  tokenWithoutExpiry?: boolean;
  /**
   * Comet: cookie that may hold the token, for pages of the server's own origin or of one in
   * --origin. Default: no cookie counts.
   */
  tokenCookie?: string;
  /**
   * Comet: file with a secret of 32 to 1,024 bytes that signs URLs, so that pages without a token
   * subscribe to the channels of a URL; repeat it for a new and an old one. SIGHUP reads the files
   * again. Default: no URL is signed.
   */
  signKey?: readonly string[];
  /**
   * Comet: whether a client that polls /ID.js needs a URL signed with --sign-key, or only the ID.
   * Default: `open`.
   */
  mailboxAuth?: 'open' | 'signed';
  /**
   * Comet: channels that everybody may subscribe to: names, prefixes and patterns as in a grant; *
   * allows all. Default: none with keys of tokens or URLs, else all.
   */
  public?: readonly string[];
  /**
   * Address or network of the proxies in front, or unix for the unix sockets of --listen: their
   * X-Forwarded-For, Forwarded and PROXY headers name the client, and their own address is not
   * limited. Default: none.
   */
  trustedProxies?: readonly string[];
  /**
   * Address of --listen whose connections begin with a PROXY header, version 1 or 2; without a
   * value all addresses. Their peers that are not in --trusted-proxies are closed, because anybody
   * can write such a header. It must be complete in --handshake-timeout. Default: `false`.
   */
  proxyProtocol?: boolean | readonly string[];
  /**
   * Maximum number of connections of one IPv4 address or IPv6 /64. auto allows 5 % of
   * --max-connections, at least 1000, because thousands of people share the address of a company or
   * mobile carrier; it holds for public addresses alone, because a balancer has a private one. 0
   * means no limit. Default: `auto`.
   */
  connectionsPerAddress?: number | 'auto';
  /**
   * New connections per second of one IPv4 address or IPv6 /64, with bursts of one second. auto
   * allows a tenth of --connections-per-address, at least 100, so that all clients of an address
   * reconnect in ten seconds; it holds for public addresses alone. 0 means no limit. Default:
   * `auto`.
   */
  handshakesPerAddress?: number | 'auto';
  /**
   * Comet: maximum number of connections of one user, the claim sub of the tokens. 0 means no
   * limit, because a user may be a service with many connections. Default: `0`.
   */
  connectionsPerUser?: number;
  /**
   * Comet: messages per second that one user may publish over all connections, with bursts of one
   * second. 0 means no limit besides --client-publish-rate, because a user may be a service with
   * many connections. Default: `0`.
   */
  publishesPerUser?: number;
  /**
   * Comet: messages per second that one token may publish, with bursts of one second: an admin
   * token over HTTP, and a token of clients with the claim jti over all their WebSockets. 0 means
   * no limit, because one back end may publish everything. Default: `0`.
   */
  publishesPerToken?: number;
  /**
   * Comet: commands per second of one WebSocket, with bursts of one second, besides published
   * messages, because all clients of a worker share its thread; an application sends far fewer than
   * 1000. Hook requests of any connection count too. A client that goes on for twice as many is
   * closed. 0 means no limit. Default: `1000`.
   */
  commandsPerConnection?: number;
  /**
   * Comet: URL that decides about clients without a token: a JSON POST for each, docs/hooks.md;
   * needs --hook-secret. Default: off.
   */
  hookUrl?: string;
  /**
   * Comet: file with a secret of at least 32 bytes that signs the requests to --hook-url. Default:
   * required with --hook-url.
   */
  hookSecret?: string;
  /**
   * Comet: action about which the hook is asked: connect, subscribe, publish or refresh. Default:
   * all of them.
   */
  hookAction?: readonly string[];
  /**
   * Comet: header field of a request that the hook receives, such as Authorization. Default: none.
   */
  hookHeader?: readonly string[];
  /**
   * Comet: cookie that the hook receives, for pages of the server's own origin or of one in
   * --origin. Default: none.
   */
  hookCookie?: readonly string[];
  /**
   * Comet: decides about clients without a token, as a function in place of `hookUrl`. Default:
   * off.
   */
  authorize?: Authorize;
  /** Receiver of the log lines; a pino instance fits. Default: no log. */
  logger?: Logger;
}

/** Options of the channels below a prefix; an absent one is that of the server. */
export interface NamespaceOptions {
  /** Messages kept of each channel; 0 keeps none. Default: as the server. */
  historyCount?: number;
  /** Seconds that a message is kept. Default: as the server. */
  historyAge?: number;
  /**
   * Maximum number of bytes of the kept messages of each channel. Default: the history-bytes of the
   * server.
   */
  historyBytes?: number;
  /**
   * Whether everybody may subscribe; otherwise a client needs a grant. Default: as the server:
   * --public decides.
   */
  public?: boolean;
  /**
   * Which WebSocket clients may publish: none, those that subscribe to the channel or have a grant,
   * or those with a grant. Default: as the server: --client-publish decides.
   */
  clientPublish?: 'grant' | 'nobody' | 'subscribers';
  /** Whether the subscribers of a channel can be listed. Default: `true`. */
  presence?: boolean;
  /**
   * Whether the subscribers of a channel receive a message when a connection subscribes or leaves,
   * while the channel has at most 1,000 of them. Default: `false`.
   */
  joinLeave?: boolean;
  /**
   * Whether clients may list the kept messages of a channel, if a grant allows it. Default: `true`.
   */
  clientHistory?: boolean;
  /**
   * The fate of a subscriber whose send queue is full, for a message without a policy: it is
   * disconnected, loses its oldest queued message, or keeps only the newest. Default: `disconnect`.
   */
  slowPolicy?: 'disconnect' | 'dropOldest' | 'latestOnly';
  /**
   * Milliseconds over which the delivery of a message is spread that says nothing else. Default:
   * `0`.
   */
  spreadMs?: number;
}

/**
 * Namespaces by the pattern of their channels, such as `chat/*`; `*` is all channels. A channel has
 * the options of the longest pattern alone.
 */
export type Namespaces = Readonly<Record<string, NamespaceOptions>>;

/** The options that can change while the server runs. */
export type Adjustments = Pick<
  ServerOptions,
  'acceptRate' | 'idleTimeout' | 'maxConnections' | 'namespaces'
>;
