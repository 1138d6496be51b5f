// Calls the tool that plain words ask for, so that a demo without a model key shows the tool. "Where is the order of customer
// cust_12345?" calls `get_customer_orders`. The text must name the tool and give all its required input.

import { isRecord } from '../tool-input.ts';

interface PlainCall {
  name: string;
  input: Record<string, unknown>;
}

/** The length of a question. Longer texts are documents, whose words ask for nothing. */
const TEXT_CHARS_MAX = 500;

/** Parts of names without information about the subject. */
const VERBS = new Set([
  'get',
  'fetch',
  'find',
  'list',
  'look',
  'lookup',
  'up',
  'query',
  'read',
  'search',
  'show',
]);

const wordsOf = (text: string): string[] =>
  text
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
    .map((word) => (word.length > 3 ? word.replace(/s$/, '') : word));

/** The values a text offers: quoted words, ids such as `cust_12345`, and numbers. Each value is used once. */
const valuesOf = (text: string) => ({
  texts: [...text.matchAll(/"([^"]{1,200})"|\b(?=\w{0,60}\d)(?=\w{0,60}[A-Za-z])[\w-]{2,100}/g)].map(
    ([whole, quoted]) => quoted ?? whole,
  ),
  numbers: [...text.matchAll(/(?<![\w.-])-?\d{1,15}(?:\.\d{1,15})?(?![\w-])/g)].map(([digits]) =>
    Number(digits),
  ),
});

type Values = ReturnType<typeof valuesOf>;

function valueFor(schema: unknown, text: string, values: Values): unknown {
  if (!isRecord(schema)) return undefined;
  if (Array.isArray(schema.enum)) {
    const said = wordsOf(text);
    return schema.enum.find((value) => wordsOf(String(value)).every((word) => said.includes(word)));
  }
  if (schema.type === 'string') return values.texts.shift();
  if (schema.type === 'number') return values.numbers.shift();
  return schema.type === 'integer' && Number.isInteger(values.numbers[0])
    ? values.numbers.shift()
    : undefined;
}

function callOf(tool: Record<string, unknown>, text: string): PlainCall[] {
  const subject = wordsOf(String(tool.name)).filter((word) => !VERBS.has(word));
  const said = new Set(wordsOf(text));
  if (subject.length === 0 || !subject.every((word) => said.has(word))) return [];
  const schema = isRecord(tool.input_schema) ? tool.input_schema : {};
  const properties = isRecord(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required.map(String) : [];
  const values = valuesOf(text);
  const pairs = required.map((key): [string, unknown] => [key, valueFor(properties[key], text, values)]);
  if (pairs.some(([, value]) => value === undefined)) return [];
  return [{ name: String(tool.name), input: Object.fromEntries(pairs) }];
}

/** @returns the calls that the text plainly asks for. */
export function plainCalls(text: string, tools: Record<string, unknown>[]): PlainCall[] {
  return text.length > TEXT_CHARS_MAX ? [] : tools.flatMap((tool) => callOf(tool, text));
}
