// The options of `serve` that say how the application is asked about clients without a token.
import type { OptionSpec } from './option-spec.js';

const OF_HOOK = { name: 'hook-url', orMember: 'authorize', isSet: true } as const;

export const HOOK_OPTIONS = [
  {
    name: 'hook-url',
    kind: 'text',
    value: 'URL',
    isUrl: true,
    protocol: 'comet',
    unset: 'off',
    help: 'URL that decides about clients without a token: a JSON POST for each, docs/hooks.md; needs --hook-secret.',
  },
  {
    name: 'hook-secret',
    kind: 'text',
    value: 'FILE',
    protocol: 'comet',
    unset: 'required with --hook-url',
    requires: { name: 'hook-url', isSet: true },
    help: 'File with a secret of at least 32 bytes that signs the requests to --hook-url.',
  },
  {
    name: 'hook-action',
    kind: 'list',
    value: 'ACTION',
    protocol: 'comet',
    unset: 'all of them',
    requires: OF_HOOK,
    help: 'Action about which the hook is asked: connect, subscribe, publish or refresh.',
  },
  {
    name: 'hook-header',
    kind: 'list',
    value: 'NAME',
    protocol: 'comet',
    unset: 'none',
    requires: OF_HOOK,
    help: 'Header field of a request that the hook receives, such as Authorization.',
  },
  {
    name: 'hook-cookie',
    kind: 'list',
    value: 'NAME',
    protocol: 'comet',
    unset: 'none',
    requires: OF_HOOK,
    help: "Cookie that the hook receives, for pages of the server's own origin or of one in --origin.",
  },
] as const satisfies readonly OptionSpec[];
