// Sends a chat message about opened issues, and nothing else.
function handle(event, request) {
  const { action, issue, repository } = event.data;
  if (action !== "opened") {
    return null;
  }
  console.log(`issue ${issue.number} of ${repository.full_name}`);
  request.headers["x-event"] = event.type;
  request.body = { text: `${repository.full_name}: ${issue.title}`, link: issue.html_url };
}
