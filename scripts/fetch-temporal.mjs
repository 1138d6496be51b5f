// Gets the pinned Temporal executables before the tests need them, so that a download is not counted to a suite.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { locateBinary, TEMPORAL_CLI, TEMPORAL_TEST_SERVER } from '../dist/src/temporal/binary.js';

const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
const options = { cacheDir, searchPath: process.env.PATH ?? '', onProgress: (line) => console.log(line) };
for (const spec of [TEMPORAL_CLI, TEMPORAL_TEST_SERVER]) {
  const { path, source } = await locateBinary(spec, options);
  console.log(`${spec.executable} ${spec.version}: ${path} (${source})`);
}
