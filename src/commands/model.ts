// Chooses the models and their server: Claude, the operator's own server, or the simulator.
import { readFileSync } from 'node:fs';
import { type Config, ConfigError } from '../config.ts';
import { withAdaptiveThinking } from '../models/adaptive-thinking.ts';
import { createAnthropicModel } from '../models/anthropic.ts';
import { type Catalogue, createCatalogue } from '../models/catalogue.ts';
import { startSimulator } from '../models/simulator.ts';
import type { Cleanup } from './cleanup.ts';

/** Claude if configured, otherwise the simulator, behind the same adapter. */
export async function startModel(config: Config, catalogue: Catalogue, cleanup: Cleanup) {
  const { anthropicApiKey, anthropicBaseUrl } = config;
  if (anthropicApiKey !== null || anthropicBaseUrl !== null) {
    // The operator's own server may need no key, but the SDK requires a value.
    const apiKey = anthropicApiKey ?? 'none';
    const model = createAnthropicModel({ apiKey, baseUrl: anthropicBaseUrl });
    cleanup.add('the model connections', model.close);
    if (anthropicBaseUrl !== null) return { model, name: `Messages API at ${anthropicBaseUrl}` };
    return { model: withAdaptiveThinking(model, catalogue), name: 'Claude' };
  }
  const simulator = await startSimulator();
  const model = createAnthropicModel({ apiKey: 'simulator', baseUrl: simulator.url });
  cleanup.add('the simulator', simulator.close);
  cleanup.add('the model connections', model.close);
  return {
    model: withAdaptiveThinking(model, catalogue),
    name: 'built-in simulator (set ANTHROPIC_API_KEY for Claude)',
  };
}

function readText(modelsFile: string): string {
  try {
    return readFileSync(modelsFile, 'utf8');
  } catch (cause) {
    throw new ConfigError(`OPENCLAW_MODELS_FILE: ${modelsFile} can't be read`, { cause });
  }
}

/** Node's message quotes the file, and a wrong file may hold a key. Keeps only the position. */
function notJson(modelsFile: string, { message }: Error): ConfigError {
  const [where = 'it ends too early'] = /at position \d+/.exec(message) ?? [];
  return new ConfigError(`OPENCLAW_MODELS_FILE: ${modelsFile} is no JSON (${where})`);
}

function readModelsFile({ modelsFile }: Config): unknown {
  if (modelsFile === null) return undefined;
  const text = readText(modelsFile);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notJson(modelsFile, error as Error);
  }
}

/** @throws {ConfigError} naming the file and the mistake. */
export function readCatalogue(config: Config): Catalogue {
  const extra = readModelsFile(config);
  try {
    return createCatalogue(extra);
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}
