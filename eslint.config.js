// Lint rules for TypeScript (with type information) and for the few plain JavaScript files.
// Formatting is prettier's task: its config is last and switches off the rules that conflict.
import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import { defineConfig } from 'eslint/config';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default defineConfig(
  { ignores: ['dist/', 'build/', 'build-*/', 'prebuilds/', 'node_modules/', '.tap/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['lib/**/*.{ts,cts}', 'bench/**/*.ts', 'test/**/*.ts', 'examples/**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        // Not projectService: it reads the nearest tsconfig.json, which excludes test/.
        project: './tsconfig.test.json',
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // Style rules that affect readability.
      '@typescript-eslint/array-type': ['error', { default: 'array' }],
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'as' }],
      '@typescript-eslint/consistent-type-definitions': ['error', 'interface'],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/prefer-nullish-coalescing': 'error',
      '@typescript-eslint/prefer-optional-chain': 'error',
      eqeqeq: 'error',
      // As clang-tidy's readability-function-size for the native side.
      'max-lines-per-function': ['error', { max: 60 }],
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['lib/**/*.{ts,cts}'],
    rules: {
      // A module logs through the logger, or returns its text to the command.
      'no-console': 'error',
      'no-restricted-properties': [
        'error',
        ...['abort', 'exit', 'reallyExit'].map((property) => ({
          object: 'process',
          property,
          message: 'Throw MegacometError, or set process.exitCode in a command.',
        })),
        {
          object: 'process',
          property: 'dlopen',
          message: 'Only lib/system/native.ts and lib/worker.cts load the addon.',
        },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            {
              name: 'node-gyp-build',
              message: 'Only lib/system/native.ts and lib/worker.cts load the addon.',
            },
            {
              name: 'node:process',
              importNames: ['exit', 'abort'],
              message: 'Throw MegacometError, or set process.exitCode in a command.',
            },
          ],
        },
      ],
    },
  },
  { files: ['lib/cli/**/*.ts'], rules: { 'no-console': 'off' } },
  {
    // The ends of a process, and the two files that load the addon.
    files: [
      'lib/cli/cli.ts',
      'lib/cli/commands/bench.ts',
      'lib/cli/commands/serve.ts',
      'lib/system/native.ts',
      'lib/worker.cts',
    ],
    rules: { 'no-restricted-properties': 'off', 'no-restricted-imports': 'off' },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Every test runs: a condition decides over a skip.
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.property.name='only']",
          message: 'Runs this test alone: remove .only.',
        },
        {
          selector: "CallExpression[callee.property.name='skip']",
          message: 'Write { skip: condition && reason } instead.',
        },
        {
          selector:
            "CallExpression[callee.property.name='test'] Property[key.name=/^(only|skip)$/][value.type='Literal']",
          message: 'Remove it, or let a condition decide.',
        },
      ],
      // tap keeps the promise that t.test() returns; a test file need not await it.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [{ from: 'package', package: '@tapjs/core', name: 'test' }],
          allowForKnownSafePromises: [
            { from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' },
          ],
        },
      ],
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    ignores: ['lib/bench/browser/'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: globals.nodeBuiltin },
  },
  {
    // Inlined into a page as classic scripts.
    files: ['lib/bench/browser/*.js'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { sourceType: 'script', globals: { ...globals.browser, uPlot: 'readonly' } },
  },
  {
    files: ['**/*.cjs'],
    languageOptions: { sourceType: 'commonjs', globals: globals.node },
  },
  prettier,
);
