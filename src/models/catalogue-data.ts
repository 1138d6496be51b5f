// The Claude models as of 2026-11-22, from stored copies of Anthropic's own pages unless marked otherwise:
// - Limits and prices: platform.claude.com/docs/en/models/<model>/overview (one page per model, crawled October 2026) and
//   platform.claude.com/docs/en/about-claude/pricing (crawled September 2026: all models up to Opus 5 and Fable 5.1).
// - Fable 5.2 and Mythos 5.2: platform.claude.com/docs/en/release-notes/overview, entry of 2026-11-09 (input, output, limits).
// - Names: the `Model` union of @anthropic-ai/sdk 1.12.0 (2026-11-20). Retirement dates: its DEPRECATED_MODELS.
// - Retired names and successors: release notes, entry of 2026-06-15 (Sonnet 4 -> Sonnet 4.6, Opus 4 -> Opus 4.8).
// - Temperature: platform.claude.com/docs/en/models/<model>/migration-guide (refused from Opus 4.7 and Claude 5 on).
// - Thinking: the table "Thinking support, defaults, and rejected configurations by model" of Anthropic's page
//   "Troubleshooting thinking" (crawled September and October 2026). The page says "any value not listed as rejected is
//   accepted" and "Only Claude Sonnet 5.5 accepts between_tools".
// - Thinking of the 5.5 models: "What's new in Claude Opus 5.5", "What's new in Claude Haiku 5.5" and "Claude Sonnet 5.5
//   migration guide".
// - Thinking of Fable 5.2 and Mythos 5.2: only the page's sentence on all models from Claude 4.7 on, so other types are
//   not judged. Opus 5 and Haiku 5.5 refuse `disabled` together with a high effort, which OpenClaw never sends.
// UNVERIFIED marks numbers without any page of Anthropic's behind them.

import type { CatalogueEntry, ModelPrices, ThinkingType, TokenPrices } from './catalogue-entry.ts';

const FLAGSHIP = { contextTokens: 1_000_000, maxOutputTokens: 128_000 };
const CLAUDE_4_5 = { contextTokens: 200_000, maxOutputTokens: 64_000 };

// Input, output, cache write (five minutes: 1.25 times the input price on every model), cache read.
const HAIKU_5_5_LONG = usdPerMtok('0.50', '2.50', '0.625', '0.05');
// UNVERIFIED: two cache-read prices, for prompts beyond 100,000 tokens and for Sonnet 5.5 since 2026-10-07 (0.10, before 0.20).
// Both come from tools that read Anthropic's page (github.com/kurofune/claudit release v1.9.2, 2026-10-24).
const HAIKU_5_5 = {
  ...usdPerMtok('0.10', '0.50', '0.125', '0.01'),
  longPrompt: { aboveTokens: 100_000, ...HAIKU_5_5_LONG },
};
const HAIKU_4_5 = usdPerMtok('1', '5', '1.25', '0.10');
const SONNET_5_5 = usdPerMtok('2', '10', '2.50', '0.10');
const SONNET_5 = usdPerMtok('2', '10', '2.50', '0.20');
const SONNET_4 = usdPerMtok('3', '15', '3.75', '0.30');
// UNVERIFIED: cache write and read (github.com/kurofune/claudit release v1.8.2, 2026-09-24).
const OPUS_5_5 = usdPerMtok('4', '20', '5', '0.20');
const OPUS_5 = usdPerMtok('5', '25', '6.25', '0.50');
// UNVERIFIED: cache write and read (github.com/archid21/rightsize release v0.10.2).
const FABLE_5_2 = usdPerMtok('8', '40', '10', '0.20');
const FABLE_5_1 = usdPerMtok('10', '50', '12.50', '0.25');
const FABLE_5 = usdPerMtok('10', '50', '12.50', '1');
// UNVERIFIED: the model is by invitation only and on no price list. Press reports of April 2026 name 25 and 125.
const MYTHOS_PREVIEW = usdPerMtok('25', '125', '31.25', '2.50');

const EXTENDED_ONLY: ThinkingType[] = ['adaptive', 'between_tools'];
const ADAPTIVE_OR_EXTENDED: ThinkingType[] = ['between_tools'];
const ADAPTIVE_ONLY: ThinkingType[] = ['enabled', 'between_tools'];
const ALWAYS_ON: ThinkingType[] = ['enabled', 'disabled', 'between_tools'];

/** First the guide's names, which a first page must show, then the newest families. Lists keep this order. */
export const BUILT_IN_MODELS: readonly CatalogueEntry[] = [
  // Our guide's name for the current Haiku. Anthropic has no such alias.
  { ...model('claude-haiku', FLAGSHIP, HAIKU_5_5, ADAPTIVE_ONLY), resolvesTo: 'claude-haiku-5-5' },
  // Retired on 2026-06-15: the API answers 404 to both names.
  deprecated(
    successor(
      'claude-sonnet-4-20250514',
      withTemperature(model('claude-sonnet-4-6', FLAGSHIP, SONNET_4, ADAPTIVE_OR_EXTENDED)),
    ),
  ),
  deprecated(successor('claude-opus-4-20250514', model('claude-opus-4-8', FLAGSHIP, OPUS_5, ADAPTIVE_ONLY))),
  model('claude-fable-5-2', FLAGSHIP, FABLE_5_2, ['enabled']),
  model('claude-mythos-5-2', FLAGSHIP, FABLE_5_2, ['enabled']),
  model('claude-opus-5-5', FLAGSHIP, OPUS_5_5, ALWAYS_ON),
  model('claude-sonnet-5-5', FLAGSHIP, SONNET_5_5, ['enabled', 'disabled']),
  model('claude-haiku-5-5', FLAGSHIP, HAIKU_5_5, ADAPTIVE_ONLY),
  model('claude-fable-5-1', FLAGSHIP, FABLE_5_1, ALWAYS_ON),
  model('claude-mythos-5-1', FLAGSHIP, FABLE_5_1, ALWAYS_ON),
  model('claude-fable-5', FLAGSHIP, FABLE_5, ALWAYS_ON),
  model('claude-mythos-5', FLAGSHIP, FABLE_5, ALWAYS_ON),
  model('claude-opus-5', FLAGSHIP, OPUS_5, ADAPTIVE_ONLY),
  model('claude-sonnet-5', FLAGSHIP, SONNET_5, ADAPTIVE_ONLY),
  model('claude-opus-4-8', FLAGSHIP, OPUS_5, ADAPTIVE_ONLY),
  // Limits from docs.cloud.google.com (partner-models/claude/opus-4-7). Anthropic's own page was not in the stored copies.
  model('claude-opus-4-7', FLAGSHIP, OPUS_5, ADAPTIVE_ONLY),
  // UNVERIFIED: both limits are copied from models released later.
  model('claude-mythos-preview', FLAGSHIP, MYTHOS_PREVIEW, ['disabled', 'between_tools']),
  withTemperature(model('claude-opus-4-6', FLAGSHIP, OPUS_5, ADAPTIVE_OR_EXTENDED)),
  withTemperature(model('claude-sonnet-4-6', FLAGSHIP, SONNET_4, ADAPTIVE_OR_EXTENDED)),
  withTemperature(model('claude-opus-4-5', CLAUDE_4_5, OPUS_5, EXTENDED_ONLY)),
  withTemperature(model('claude-opus-4-5-20251101', CLAUDE_4_5, OPUS_5, EXTENDED_ONLY)),
  withTemperature(model('claude-haiku-4-5', CLAUDE_4_5, HAIKU_4_5, EXTENDED_ONLY)),
  withTemperature(model('claude-haiku-4-5-20251001', CLAUDE_4_5, HAIKU_4_5, EXTENDED_ONLY)),
  // Retires on 2026-11-30. Anthropic recommends claude-sonnet-5-5.
  deprecated(withTemperature(model('claude-sonnet-4-5', CLAUDE_4_5, SONNET_4, EXTENDED_ONLY))),
  deprecated(withTemperature(model('claude-sonnet-4-5-20250929', CLAUDE_4_5, SONNET_4, EXTENDED_ONLY))),
];

type Limits = Pick<CatalogueEntry, 'contextTokens' | 'maxOutputTokens'>;

function model(
  id: string,
  limits: Limits,
  prices: ModelPrices,
  refusesThinking: ThinkingType[],
): CatalogueEntry {
  return {
    id,
    resolvesTo: id,
    ...limits,
    prices,
    acceptsTemperature: false,
    refusesThinking,
    deprecated: false,
  };
}

function successor(id: string, target: CatalogueEntry): CatalogueEntry {
  return { ...target, id, resolvesTo: target.id };
}

function withTemperature(entry: CatalogueEntry): CatalogueEntry {
  return { ...entry, acceptsTemperature: true };
}

function deprecated(entry: CatalogueEntry): CatalogueEntry {
  return { ...entry, deprecated: true };
}

function usdPerMtok(input: string, output: string, cacheWrite: string, cacheRead: string): TokenPrices {
  return {
    inputUsdPerMtok: input,
    outputUsdPerMtok: output,
    cacheWriteUsdPerMtok: cacheWrite,
    cacheReadUsdPerMtok: cacheRead,
  };
}
