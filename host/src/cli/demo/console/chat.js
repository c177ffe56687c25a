// A message for the shop's chat, for each paid order.
const { number, total, currency, customer } = event.data;

const name = customer.name.split(" ")[0];
const amount = total.toFixed(2);

console.log(`order ${number} of ${name}`);
return {
  headers: { ...request.headers, "x-channel": "orders" },
  body: { text: `${name} paid ${amount} ${currency} for order ${number}` },
};
