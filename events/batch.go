package events

import "time"

// A MessageBatch is many messages that were accepted together, and how far they have come.
type MessageBatch struct {
	ID          string         `json:"id" example:"bat_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	SessionID   string         `json:"sessionId" example:"sales"`
	Size        int            `json:"size" doc:"How many messages it was accepted with." example:"200"`
	Counts      map[string]int `json:"counts" doc:"How many of its messages have which status; a status that none has is left out." example:"{\"sent\":12,\"delivered\":88,\"scheduled\":100}"`
	CreatedAt   time.Time      `json:"createdAt"`
	CancelledAt *time.Time     `json:"cancelledAt,omitempty" doc:"When it was cancelled: what had not left by then did not leave."`
}

// A MessageReceipt says what somebody has done with a message that was sent to him, or to a group that he is in.
type MessageReceipt struct {
	Contact     Address    `json:"contact"`
	DeliveredAt *time.Time `json:"deliveredAt,omitempty" doc:"When one of his devices received it. Who has read it has received it."`
	ReadAt      *time.Time `json:"readAt,omitempty" doc:"When he read it, unless he hides that."`
	PlayedAt    *time.Time `json:"playedAt,omitempty" doc:"When he played a voice note or a video, or opened what can be opened once."`
}
