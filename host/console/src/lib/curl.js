// A request as a command for a shell.

/** @param {string} text in single quotes, for POSIX shells */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {{method: string, url: string, headers: Record<string, string>}} request
 * @param {string | null} body
 */
export function curl(request, body) {
  const parts = [`curl -i ${quoted(request.url)}`];
  if (request.method !== "POST" || body === null) parts.push(`-X ${request.method}`);
  for (const [name, value] of Object.entries(request.headers)) {
    // curl computes it from the body.
    if (name.toLowerCase() !== "content-length") parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body !== null) parts.push(`--data-raw ${quoted(body)}`);
  return parts.join(" \\\n  ");
}
