// Required by a plain Node process, lets it require our TypeScript: for tests that need a process of their own to kill.
const { transformFileSync } = require('@swc/core');

const options = {
  jsc: { target: 'es2023', parser: { syntax: 'typescript' } },
  module: { type: 'commonjs' },
};

require.extensions['.ts'] = (module, path) => module._compile(transformFileSync(path, options).code, path);
