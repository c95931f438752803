package queue_test

const workerEnv = "QUEUE_TEST_WORKER"

func worker() int { return 1 }
