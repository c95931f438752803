/** Whether somebody has come to another page since this tab was loaded. */
export const arrival = { navigated: false };
