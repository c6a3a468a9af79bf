// Reads the scripts and style sheets that the report page inlines: uPlot, and lib/bench/browser/.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { packageRoot } from '../system/native.js';

/** The scripts and the style sheet of a page. */
export interface PageAssets {
  /** Scripts to inline, in this order. None contains an end tag. */
  readonly scripts: readonly string[];
  /** Style sheet to inline. */
  readonly style: string;
}

/** The files in this folder are not compiled: source and compiled program read the same ones. */
const BROWSER_FOLDER = path.join(packageRoot, 'lib', 'bench', 'browser');

/**
 * Reads the assets from disk.
 *
 * @throws Error, from node:fs or node:module, if the package uplot or a file of this folder is
 *   missing.
 */
export function readPageAssets(): PageAssets {
  const require = createRequire(import.meta.url);
  const own = (name: string): string => readFileSync(path.join(BROWSER_FOLDER, name), 'utf8');
  const ofUplot = (name: string): string => readFileSync(require.resolve(`uplot/${name}`), 'utf8');
  // The licence of uPlot requires its text in every copy, and the page is a copy.
  const uplot = `/*\n${ofUplot('LICENSE')}*/\n${ofUplot('dist/uPlot.iife.min.js')}`;
  return {
    scripts: [uplot, own('plots.js')],
    style: [own('report.css'), ofUplot('dist/uPlot.min.css'), own('plots.css')].join('\n'),
  };
}
