import fc from 'fast-check';
import { costNanoUsd, createCatalogue, formatUsd, refusesThinking } from '../../src/models/catalogue.ts';
import type { ModelPrices } from '../../src/models/catalogue-entry.ts';

const usage = (
  inputTokens = 0,
  outputTokens = 0,
  cacheCreationInputTokens = 0,
  cacheReadInputTokens = 0,
) => ({
  inputTokens,
  outputTokens,
  cacheCreationInputTokens,
  cacheReadInputTokens,
});

const fileModel = {
  id: 'my-model',
  context_tokens: 10_000,
  max_output_tokens: 1_000,
  prices: { input: '1', output: '2', cache_write: '1.25', cache_read: '0.1' },
};

describe('the built-in catalogue', () => {
  const catalogue = createCatalogue();

  test.each([
    ['claude-sonnet-4-20250514', 'claude-sonnet-4-6', true],
    ['claude-opus-4-20250514', 'claude-opus-4-8', true],
    ['claude-haiku', 'claude-haiku-5-5', false],
  ])("resolves the guide's %s to %s", (name, resolvesTo, deprecated) => {
    expect(catalogue.find(name)).toMatchObject({ id: name, resolvesTo, deprecated });
  });

  test('resolves every name to one that is current', () => {
    for (const entry of catalogue.list()) {
      expect(catalogue.find(entry.resolvesTo)).toMatchObject({ resolvesTo: entry.resolvesTo });
    }
  });

  test('prices an alias as its target', () => {
    for (const entry of catalogue.list()) {
      expect(entry.prices).toEqual(catalogue.find(entry.resolvesTo)?.prices);
    }
  });

  test('knows no other names, not even those every object has', () => {
    expect(catalogue.find('gpt-5')).toBeUndefined();
    expect(catalogue.find('__proto__')).toBeUndefined();
    expect(catalogue.find('constructor')).toBeUndefined();
    expect(catalogue.names()).toHaveLength(catalogue.list().length);
  });

  test('says which models take a temperature', () => {
    expect(catalogue.find('claude-sonnet-4-6')?.acceptsTemperature).toBe(true);
    expect(catalogue.find('claude-opus-5-5')?.acceptsTemperature).toBe(false);
  });

  test('says which types of thinking a model refuses, and no model is without one', () => {
    expect(refusesThinking(catalogue.find('claude-opus-4-7'), 'enabled')).toBe(true);
    expect(refusesThinking(catalogue.find('claude-opus-4-7'), 'adaptive')).toBe(false);
    expect(refusesThinking(undefined, 'enabled')).toBe(false);
    for (const entry of catalogue.list())
      expect(['adaptive', 'enabled'].some((type) => !refusesThinking(entry, type))).toBe(true);
  });

  test('names the refused types of an alias as those of its target', () => {
    for (const entry of catalogue.list())
      expect(entry.refusesThinking).toEqual(catalogue.find(entry.resolvesTo)?.refusesThinking);
  });
});

describe("the operator's file", () => {
  test('adds models and replaces built-in ones whole', () => {
    const catalogue = createCatalogue({
      models: [
        fileModel,
        { ...fileModel, id: 'claude-haiku', resolves_to: 'claude-haiku-4-5', deprecated: true },
      ],
    });
    expect(catalogue.find('my-model')).toEqual({
      id: 'my-model',
      resolvesTo: 'my-model',
      contextTokens: 10_000,
      maxOutputTokens: 1_000,
      prices: {
        inputUsdPerMtok: '1',
        outputUsdPerMtok: '2',
        cacheWriteUsdPerMtok: '1.25',
        cacheReadUsdPerMtok: '0.1',
      },
      acceptsTemperature: true,
      refusesThinking: [],
      deprecated: false,
    });
    expect(catalogue.find('claude-haiku')).toMatchObject({
      resolvesTo: 'claude-haiku-4-5',
      deprecated: true,
    });
    expect(catalogue.names().filter((name) => name === 'claude-haiku')).toHaveLength(1);
  });

  test('may give prices as numbers and prices of long prompts', () => {
    const prices = { input: 0.5, output: 2, cache_write: 0.625, cache_read: 0.05 };
    const long_prompt = { above_tokens: 200_000, ...prices };
    const catalogue = createCatalogue({ models: [{ ...fileModel, prices: { ...prices, long_prompt } }] });
    expect(catalogue.find('my-model')?.prices).toMatchObject({
      inputUsdPerMtok: '0.5',
      longPrompt: { aboveTokens: 200_000, cacheReadUsdPerMtok: '0.05' },
    });
  });

  test('may say which types of thinking a model refuses; the others are not judged', () => {
    const own = { ...fileModel, refuses_thinking: ['adaptive'] };
    const catalogue = createCatalogue({ models: [own, { ...fileModel, id: 'claude-opus-4-7' }] });
    expect(refusesThinking(catalogue.find('my-model'), 'adaptive')).toBe(true);
    expect(refusesThinking(catalogue.find('my-model'), 'enabled')).toBe(false);
    expect(refusesThinking(catalogue.find('claude-opus-4-7'), 'enabled')).toBe(false);
  });

  const withPrice = (input: unknown) => ({ ...fileModel, prices: { ...fileModel.prices, input } });

  test.each([
    ['the file', null],
    ['models[0].refuses_thinking[0]', { models: [{ ...fileModel, refuses_thinking: ['always'] }] }],
    ['models', {}],
    ['models[0].id', { models: [{ ...fileModel, id: '' }] }],
    ['models[0].context_tokens', { models: [{ ...fileModel, context_tokens: 0 }] }],
    [
      'models[0].prices.cache_read',
      { models: [{ ...fileModel, prices: { ...fileModel.prices, cache_read: '1e-7' } }] },
    ],
    ['models[0].prices.input', { models: [{ ...fileModel, prices: { ...fileModel.prices, input: '-1' } }] }],
    ['contextTokens', { models: [{ ...fileModel, contextTokens: 5 }] }],
    ['models[1].id', { models: [fileModel, fileModel] }],
    ['the file: must be an object in {}', [1]],
    ['models: must be a list in []', { models: {} }],
    ['models: is missing; the file: has the unknown field x (known: models)', { x: {} }],
    ['models[0]: must be an object in {}', { models: [1] }],
    ['models[0].prices: is missing', { models: [{ ...fileModel, prices: undefined }] }],
    ['models[0].prices.input: must be a plain decimal number', { models: [withPrice([])] }],
    ['models[0].prices.input: is missing', { models: [withPrice(undefined)] }],
    [
      'models[0].max_output_tokens: must be a whole number',
      { models: [{ ...fileModel, max_output_tokens: '8k' }] },
    ],
    [
      'models[0].id: must be a text of 1 to 200 characters',
      { models: [{ ...fileModel, id: 'x'.repeat(201) }] },
    ],
    [
      'models[0].refuses_thinking[0]: must be a list of',
      { models: [{ ...fileModel, refuses_thinking: ['x'] }] },
    ],
    ['models[0].deprecated: must be true or false', { models: [{ ...fileModel, deprecated: 'yes' }] }],
  ])('is refused with the name of the wrong field: %s', (field, file) => {
    expect(() => createCatalogue(file)).toThrow(field);
    expect(() => createCatalogue(file)).toThrow('OPENCLAW_MODELS_FILE');
  });
});

describe('costs', () => {
  const prices: ModelPrices = {
    inputUsdPerMtok: '0.1',
    outputUsdPerMtok: '0.5',
    cacheWriteUsdPerMtok: '0.125',
    cacheReadUsdPerMtok: '0.01',
  };

  test('are exact where floats are not', () => {
    expect(costNanoUsd(prices, usage(3))).toBe(300);
    expect(costNanoUsd(prices, usage(1_000_000, 1_000_000, 1_000_000, 1_000_000))).toBe(735_000_000);
    expect(costNanoUsd(prices, usage(0, 0, 0, 1))).toBe(10);
  });

  test('equal integer arithmetic for all prices and counts', () => {
    const price = fc.integer({ min: 0, max: 200_000_000 }); // thousandths of a dollar per million tokens
    const count = fc.integer({ min: 0, max: 2_000_000 });
    fc.assert(
      fc.property(
        fc.tuple(price, price, price, price),
        fc.tuple(count, count, count, count),
        (cents, counts) => {
          const [input, output, cacheWrite, cacheRead] = cents.map(toDecimal) as [
            string,
            string,
            string,
            string,
          ];
          const expected = cents.reduce((sum, each, at) => sum + BigInt(each) * BigInt(counts[at] ?? 0), 0n);
          fc.pre(expected <= BigInt(Number.MAX_SAFE_INTEGER));
          const rates = {
            inputUsdPerMtok: input,
            outputUsdPerMtok: output,
            cacheWriteUsdPerMtok: cacheWrite,
            cacheReadUsdPerMtok: cacheRead,
          };
          expect(BigInt(costNanoUsd(rates, usage(...counts)))).toBe(expected);
        },
      ),
    );
  });

  test('round half up once, where a price is finer than a nano-dollar a token', () => {
    const fine = { ...prices, inputUsdPerMtok: '0.0375' };
    expect(costNanoUsd(fine, usage(1))).toBe(38);
    expect(costNanoUsd(fine, usage(2))).toBe(75);
  });

  test('of a long prompt take the long prices for every token', () => {
    const haiku = createCatalogue().find('claude-haiku')?.prices as ModelPrices;
    expect(costNanoUsd(haiku, usage(40_000, 10, 30_000, 30_000))).toBe(
      40_000 * 100 + 10 * 500 + 30_000 * 125 + 30_000 * 10,
    );
    expect(costNanoUsd(haiku, usage(40_001, 10, 30_000, 30_000))).toBe(
      40_001 * 500 + 10 * 2500 + 30_000 * 625 + 30_000 * 50,
    );
  });

  test.each([
    [0, '0'],
    [1, '0.000000001'],
    [12_300_000, '0.0123'],
    [1_000_000_000, '1'],
    [12_000_000_010, '12.00000001'],
    [-500_000_000, '-0.5'],
  ])('%d nano-dollars read as %s', (nano, text) => {
    expect(formatUsd(nano)).toBe(text);
  });

  function toDecimal(thousandths: number): string {
    const digits = String(thousandths).padStart(4, '0');
    return `${digits.slice(0, -3)}.${digits.slice(-3)}`;
  }
});
