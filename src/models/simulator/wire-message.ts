// Messages in the form of a Messages API request.

export interface WireBlock extends Record<string, unknown> {
  type: string;
}

export interface WireMessage {
  role: 'user' | 'assistant';
  content: WireBlock[];
}
