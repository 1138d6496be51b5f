// Text that every store and every client can hold: PostgreSQL refuses NUL, JSON readers disagree on lone surrogates.

/** @returns the text without NUL, each lone surrogate replaced by U+FFFD. */
export function cleanText(text: string): string {
  return withoutNul(text).toWellFormed();
}

/** Cleans a text that arrives in pieces; a pair of surrogates may be split over two of them. */
export interface TextCleaner {
  /** @returns what of the text so far is safe to show; '' when all of it has to wait for the next piece. */
  push(piece: string): string;
  /** @returns what was still held back, '' mostly. */
  end(): string;
}

export function createTextCleaner(): TextCleaner {
  let held = '';
  return {
    push(piece) {
      const text = held + withoutNul(piece);
      const cut = isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length;
      held = text.slice(cut);
      return text.slice(0, cut).toWellFormed();
    },
    end() {
      const rest = held.toWellFormed();
      held = '';
      return rest;
    },
  };
}

function withoutNul(text: string): string {
  return text.replaceAll('\0', '');
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
