// The guide's streaming reader, word for word but for the collecting, in a process of its own as a client's would be.
// Arguments: url, body, milliseconds to pause after each read. Prints {text, reads, failures}.
const [url, body, pauseMs] = process.argv.slice(2);
const response = await fetch(url, {
  method: 'POST',
  headers: { Authorization: 'Bearer a-admin', 'Content-Type': 'application/json' },
  body,
});
const result = { text: '', reads: 0, failures: 0 };
const reader = response.body.getReader();
const decoder = new TextDecoder();
while (true) {
  const { done, value } = await reader.read();
  if (done) break;
  result.reads++;
  const chunk = decoder.decode(value);
  const lines = chunk.split('\n').filter((line) => line.startsWith('data: '));
  for (const line of lines) {
    try {
      const data = JSON.parse(line.slice(6));
      if (data.type === 'content_delta') {
        result.text += data.text;
      }
    } catch {
      result.failures++;
    }
  }
  if (Number(pauseMs) > 0) await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)));
}
process.stdout.write(JSON.stringify(result));
