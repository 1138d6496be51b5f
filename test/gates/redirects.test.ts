// Every outgoing HTTP call names what it does with a redirect: a client that follows one takes its secrets along.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';

const PROJECT = resolve(__dirname, '../..');
const ROOMS = ['src', 'workflows', 'activities'];

/** Names that make no request: servers, parsers, and dispatchers that only carry one. */
const HARMLESS = new Set(['createServer', 'Server', 'ServerResponse', 'IncomingMessage', 'STATUS_CODES']);
const HTTP_MODULES =
  /^(node:)?(http|https|http2)$|^undici(\/|$)|^(axios|got|node-fetch|ky|superagent|needle)$/;

const isHttpModule = (node: ts.Expression | undefined): boolean =>
  node !== undefined && ts.isStringLiteral(node) && HTTP_MODULES.test(node.text);

/** What an import brings that can make requests. */
function clientsOf({ importClause, moduleSpecifier }: ts.ImportDeclaration): string[] {
  if (!isHttpModule(moduleSpecifier) || importClause === undefined || importClause.isTypeOnly) return [];
  const { name, namedBindings } = importClause;
  const named = namedBindings && ts.isNamedImports(namedBindings) ? namedBindings.elements : [];
  const whole = [name, namedBindings && ts.isNamespaceImport(namedBindings) ? namedBindings.name : undefined];
  return [
    ...whole.flatMap((each) => each?.text ?? []),
    ...named
      .filter((each) => !each.isTypeOnly && !HARMLESS.has((each.propertyName ?? each.name).text))
      .map((each) => each.name.text),
  ];
}

/** Also under another name: `import { fetch as undiciFetch }`. */
const FETCH = /^(globalThis\.)?(fetch|\w+(?<!create)Fetch)$/;
const NEW_CLIENTS = /^(WebSocket|EventSource|XMLHttpRequest|Anthropic|OpenAI)$/;
const DOWNLOADERS = /^(download|curl|wget)$|'cached-download'/;
const FOLLOWERS = /\bmaxRedirections\b|\bRedirectHandler\b|\binterceptors\.redirect\b/;

/** The client that this piece of code makes or calls. */
function clientsAt(node: ts.Node): string[] {
  if (ts.isImportDeclaration(node)) return clientsOf(node);
  if (ts.isStringLiteralLike(node)) return DOWNLOADERS.test(node.text) ? [node.text.trim()] : [];
  if (!ts.isCallExpression(node) && !ts.isNewExpression(node)) return [];
  const callee = node.expression.getText();
  return FETCH.test(callee) || NEW_CLIENTS.test(callee) || isHttpModule(node.arguments?.[0]) ? [callee] : [];
}

/** Clients that follow redirects unless they are told otherwise. */
function followsAt(node: ts.Node): string | null {
  if (!ts.isCallExpression(node) && !ts.isNewExpression(node)) return null;
  const callee = node.expression.getText();
  if (FETCH.test(callee) && !/\bredirect: '(manual|error)'/.test(node.getText()))
    return `${callee} follows redirects; say redirect: 'manual' or 'error'`;
  if (/^(Anthropic|OpenAI)$/.test(callee) && !/\bfetch: /.test(node.getText()))
    return `${callee} follows redirects without a fetch of its own`;
  return null;
}

function faultsOf(path: string, text: string): string[] {
  const clients: string[] = [];
  const faults: (string | null)[] = FOLLOWERS.test(text) ? ['follows redirects'] : [];
  const visit = (node: ts.Node): void => {
    clients.push(...clientsAt(node));
    faults.push(followsAt(node));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  if (clients.length > 0 && !/Redirect policy: \w/.test(text))
    faults.push(`uses ${clients.join(', ')} without a comment "Redirect policy: ..."`);
  return faults.flatMap((fault) => (fault === null ? [] : `${path}: ${fault}`));
}

const sources = ROOMS.flatMap((room) =>
  readdirSync(join(PROJECT, room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name): [path: string, text: string] => [
      `${room}/${name}`,
      readFileSync(join(PROJECT, room, name), 'utf8'),
    ]),
);

test('every outgoing HTTP call names its redirect policy', () => {
  expect(sources.flatMap(([path, text]) => faultsOf(path, text))).toEqual([]);
});

test.each([
  'src/models/anthropic.ts',
  'src/egress/post.ts',
  'src/temporal/embedded-ui.ts',
  'src/temporal/binary-sdk.ts',
  'src/temporal/binary-wheel.ts',
])('%s is known to call out', (path) => {
  const [, text = ''] = sources.find(([each]) => each === path) ?? [];
  expect(faultsOf(path, text.replaceAll('Redirect policy: ', ''))).not.toEqual([]);
});

const POLICY = '// Redirect policy: none';

test.each([
  "import { request } from 'undici';",
  "import { Agent } from 'undici';",
  `${POLICY}\nimport { fetch } from 'undici';\nawait fetch(url);`,
  `${POLICY}\nimport { fetch as undiciFetch } from 'undici';\nawait undiciFetch(url, { ...init });`,
  "import { type Agent, request } from 'node:https';",
  "import https from 'https';",
  "import * as http from 'node:http';",
  "const http = require('node:http');",
  "const { request } = await import('undici');",
  "import axios from 'axios';",
  "await fetch(url, { redirect: 'manual' });",
  `${POLICY}\nawait fetch(url);`,
  `${POLICY}\nawait globalThis.fetch(url, { redirect: 'follow' });`,
  `${POLICY}\nconst client = new Anthropic({ apiKey });`,
  `${POLICY}\nimport { Agent, interceptors } from 'undici';\nnew Agent().compose(interceptors.redirect());`,
  "const socket = new WebSocket('wss://example.com');",
  "run('curl', ['-sL', url]);",
])('%j does not pass', (text) => {
  expect(faultsOf('planted.ts', text)).not.toEqual([]);
});
