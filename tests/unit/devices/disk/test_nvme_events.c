/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asynchronous events of the NVMe model: requests that wait for them, and what they tell. */
#include "nvme_driver.h"

#define NAMESPACE_CHANGED (4u << 16 | 0u << 8 | 2u)
#define BAD_DOORBELL	  (1u << 16 | 0u << 8 | 0u)
#define BAD_VALUE	  (1u << 16 | 1u << 8 | 0u)
#define RETAIN		  (1u << 15)

static uint16_t request_event(void)
{
	return submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ASYNC_EVENT });
}

static void want_namespace_events(uint32_t value)
{
	const struct nvme_command command = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = NVME_FEATURE_ASYNC_EVENTS,
		.cdw11 = value,
	};

	assert_int_equal(run_status(ADMIN, command), NVME_SUCCESS);
}

/* An event that was told of before the log that was read; the order is the controller's. */
static struct nvme_completion early;
static bool has_early;

/* Returns the log's first word. */
static uint32_t read_log(uint32_t log)
{
	const struct nvme_command command = {
		.opcode = NVME_ADMIN_GET_LOG_PAGE,
		.prp1 = RAM_BASE + DATA_AT,
		.cdw10 = 15u << 16 | log,
	};
	uint16_t id = submit(ADMIN, command);
	struct nvme_completion completion = await(ADMIN);
	uint32_t word;

	if (completion.command_id != id) {
		assert_false(has_early);
		has_early = true;
		early = completion;
		completion = await(ADMIN);
	}
	assert_int_equal(completion.command_id, id);
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	memcpy(&word, driver.ram + DATA_AT, sizeof(word));
	return word;
}

static void assert_no_event(void)
{
	assert_false(has_early);
	assert_silent(ADMIN);
}

static void assert_event(uint32_t event)
{
	struct nvme_completion completion = has_early ? early : await(ADMIN);

	has_early = false;
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_int_equal(completion.result, event);
	assert_int_equal(completion.sq_id, 0);
}

static void as_many_requests_as_were_said(void **state)
{
	struct nvme_completion completion;
	uint16_t id;

	begin();
	enable();
	for (unsigned i = 0; i < KEPT_EVENTS; i++)
		request_event();
	assert_no_event();
	id = request_event();
	completion = await(ADMIN);
	assert_int_equal(completion.command_id, id);
	assert_int_equal(status_of(completion), REFUSED(NVME_TOO_MANY_ASYNC_EVENTS));
	/* A reset forgets them. */
	set32(NVME_REG_CC, 0);
	enable();
	for (unsigned i = 0; i < KEPT_EVENTS; i++)
		request_event();
	assert_no_event();
	end();
}

static void a_namespace_that_changes(void **state)
{
	begin();
	enable();
	request_event();
	/* Nobody has asked to be told. */
	nvme_model.config_changed(driver.function);
	assert_no_event();
	assert_int_equal(read_log(NVME_LOG_NAMESPACES), 1);
	assert_int_equal(read_log(NVME_LOG_NAMESPACES), 0);
	want_namespace_events(1u << 8);
	nvme_model.config_changed(driver.function);
	assert_event(NAMESPACE_CHANGED);
	assert_int_equal(read_log(NVME_LOG_NAMESPACES), 1);
	assert_int_equal(read_log(NVME_LOG_NAMESPACES), 0);
	end();
}

/* The type is told of once, until the log is read and the driver does not say that the event stays. */
static void told_once_until_the_log_is_read(void **state)
{
	begin();
	enable();
	want_namespace_events(1u << 8);
	request_event();
	request_event();
	nvme_model.config_changed(driver.function);
	assert_event(NAMESPACE_CHANGED);
	nvme_model.config_changed(driver.function);
	nvme_model.config_changed(driver.function);
	assert_no_event();
	read_log(NVME_LOG_NAMESPACES | RETAIN);
	assert_no_event();
	read_log(NVME_LOG_ERRORS);
	read_log(NVME_LOG_HEALTH);
	assert_no_event();
	/* Another type waits for none of that. */
	ring_sq(ADMIN, 0xffff);
	assert_event(BAD_VALUE);
	request_event();
	read_log(NVME_LOG_NAMESPACES);
	assert_event(NAMESPACE_CHANGED);
	assert_no_event();
	end();
}

static void doorbells_that_are_wrong(void **state)
{
	begin();
	enable();
	request_event();
	request_event();
	ring_sq(3, 1);
	assert_event(BAD_DOORBELL);
	/* The same type: until the log is read. */
	ring_cq(ADMIN, 20);
	assert_no_event();
	read_log(NVME_LOG_ERRORS);
	assert_event(BAD_VALUE);
	assert_no_event();
	end();
}

static void events_before_requests(void **state)
{
	begin();
	enable();
	want_namespace_events(1u << 8);
	for (unsigned i = 0; i < 1000; i++) {
		ring_sq(3, 1);
		ring_sq(ADMIN, 0xffff);
		nvme_model.config_changed(driver.function);
	}
	assert_no_event();
	request_event();
	assert_event(BAD_DOORBELL);
	request_event();
	assert_event(NAMESPACE_CHANGED);
	request_event();
	assert_no_event();
	read_log(NVME_LOG_ERRORS);
	assert_event(BAD_VALUE);
	/* Nothing else was kept. */
	for (unsigned i = 0; i < KEPT_EVENTS; i++)
		request_event();
	read_log(NVME_LOG_ERRORS);
	read_log(NVME_LOG_NAMESPACES);
	assert_no_event();
	end();
}

/* Requests that wait keep no room in the completion queue, so that others are answered. */
static void small_completion_queue(void **state)
{
	struct nvme_completion completion;

	begin();
	enable_with(16, 2);
	want_namespace_events(1u << 8);
	for (unsigned i = 0; i < KEPT_EVENTS; i++)
		request_event();
	settle();
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(run_status(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT }),
				 NVME_SUCCESS);
	/* While it is full, an event waits for room, too. */
	submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT });
	settle();
	nvme_model.config_changed(driver.function);
	settle();
	assert_true(look(ADMIN, &completion));
	assert_int_equal(completion.result, 1);
	assert_no_event();
	ring_cq(ADMIN, driver.queue[ADMIN].head);
	assert_event(NAMESPACE_CHANGED);
	assert_int_equal(violations(), 0);
	end();
}

/* A controller that is off has nobody to tell, and keeps nothing for later. */
static void while_it_is_off(void **state)
{
	begin();
	nvme_model.config_changed(driver.function);
	ring_sq(ADMIN, 1);
	assert_int_equal(violations(), 0);
	enable();
	want_namespace_events(1u << 8);
	request_event();
	nvme_model.config_changed(driver.function);
	assert_event(NAMESPACE_CHANGED);
	request_event();
	set32(NVME_REG_CC, 0);
	nvme_model.config_changed(driver.function);
	enable();
	want_namespace_events(1u << 8);
	request_event();
	assert_no_event();
	nvme_model.config_changed(driver.function);
	assert_event(NAMESPACE_CHANGED);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_requests_as_were_said),
		cmocka_unit_test(a_namespace_that_changes),
		cmocka_unit_test(told_once_until_the_log_is_read),
		cmocka_unit_test(doorbells_that_are_wrong),
		cmocka_unit_test(events_before_requests),
		cmocka_unit_test(small_completion_queue),
		cmocka_unit_test(while_it_is_off),
	};

	return cmocka_run_group_tests_name("nvme_events", tests, NULL, NULL);
}
