// Real components, one file after the other unless scripts/test-suites.mjs says otherwise: they share two cores with what they test.
export default {
  rootDir: '.',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Nothing in it is a test or is imported by one.
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  // Not in TMPDIR, which scripts/test.mjs gives each suite anew.
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  testEnvironment: 'node',
  maxWorkers: 1,
  testTimeout: 30_000,
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  // jose comes as ES modules only, which jest can't load as they are.
  transformIgnorePatterns: ['/node_modules/(?!jose/)'],
  transform: {
    '^.+\\.[tj]s$': [
      '@swc/jest',
      {
        jsc: { target: 'es2023', parser: { syntax: 'typescript' } },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
};
