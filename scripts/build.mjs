// Compiles TypeScript to dist/ and bundles the workflows once, so that a start is a start and not a compilation.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { bundleWorkflowCode } from '@temporalio/worker';

const require = createRequire(import.meta.url);
if (!existsSync('node_modules/typescript')) {
  console.error(
    'A build needs the development dependencies: `npm ci` first, then `npm prune --omit=dev` drops them.',
  );
  process.exit(1);
}
execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
});
// A program of its own, that TypeScript does not compile.
const CALCULATOR = 'src/tools/calculator/evaluate.mjs';
copyFileSync(CALCULATOR, `dist/${CALCULATOR}`);

const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
const { code } = await bundleWorkflowCode({
  workflowsPath: require.resolve('../dist/workflows/index.js'),
  logger: quiet,
});
writeFileSync('dist/workflow-bundle.js', code);
