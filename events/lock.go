package events

// SequencerLock is the key of the transaction-level advisory lock under which events enter the log and their deliveries are made. Whoever
// creates or deletes a webhook endpoint, or changes its state or filters, takes it first in the same transaction, so that every event
// falls wholly before or wholly after the change. The number only has to be unlike that of any other advisory lock: it is ASCII "chasqui".
const SequencerLock int64 = 0x63686173717569
