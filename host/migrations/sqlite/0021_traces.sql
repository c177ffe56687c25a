-- The trace of which an event's deliveries are a part: the values of the headers `traceparent` and `tracestate`.
ALTER TABLE events ADD COLUMN trace TEXT;
