// One model of the catalogue.

/** The values of `thinking.type`. */
export const THINKING_TYPES = ['enabled', 'disabled', 'adaptive', 'between_tools'] as const;
export type ThinkingType = (typeof THINKING_TYPES)[number];

/** USD per million tokens, as plain decimal strings: `"0.125"`. */
export interface TokenPrices {
  inputUsdPerMtok: string;
  outputUsdPerMtok: string;
  /** For the five-minute cache, the only cache OpenClaw writes to. */
  cacheWriteUsdPerMtok: string;
  cacheReadUsdPerMtok: string;
}

export interface ModelPrices extends TokenPrices {
  /** Applies to all tokens of a call whose prompt, cached parts included, exceeds `aboveTokens` tokens. */
  longPrompt?: TokenPrices & { aboveTokens: number };
}

export interface CatalogueEntry {
  /** The name users give. */
  id: string;
  /** The name sent to the provider. The same as `id` for most models. */
  resolvesTo: string;
  contextTokens: number;
  maxOutputTokens: number;
  prices: ModelPrices;
  /** Whether the provider takes `temperature` on this model. Newer models answer any value but the default with a 400. */
  acceptsTemperature: boolean;
  /** The values of `thinking.type` that the provider refuses on this model. Other values are not judged. */
  refusesThinking: readonly ThinkingType[];
  /** The provider has retired the name or set a date for it. */
  deprecated: boolean;
}
