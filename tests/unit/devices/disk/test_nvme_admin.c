/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admin commands of the NVMe model that are not about queues. Answers are looked at as bytes, at the offsets
 * of the specification (1.4), and not by the structs of the code under test.
 */
#include "nvme_driver.h"

#define ANSWER (driver.ram + DATA_AT)

static uint64_t answer_at(unsigned offset, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)ANSWER[offset + i] << 8 * i;
	return value;
}

static struct nvme_command admin(uint8_t opcode, uint32_t cdw10, uint32_t cdw11)
{
	return (struct nvme_command){
		.opcode = opcode,
		.prp1 = RAM_BASE + DATA_AT,
		.prp2 = RAM_BASE + DATA_AT + PAGE,
		.cdw10 = cdw10,
		.cdw11 = cdw11,
	};
}

/* ---- identify ---- */

static uint16_t identify(uint8_t what, uint32_t namespace_id)
{
	struct nvme_command command = admin(NVME_ADMIN_IDENTIFY, what, 0);

	command.namespace_id = namespace_id;
	memset(ANSWER, 0xa5, 2 * PAGE);
	return run_status(ADMIN, command);
}

static void identify_controller(void **state)
{
	begin();
	enable();
	assert_int_equal(identify(1, 0), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 2), 0x1b36); /* VID */
	assert_int_equal(answer_at(2, 2), 0x1af4); /* SSVID */
	assert_memory_equal(ANSWER + 4, "root                ", 20);
	assert_memory_equal(ANSWER + 24, "Viaduct NVMe disk                       ", 40);
	assert_memory_equal(ANSWER + 64, "1       ", 8);
	assert_int_equal(answer_at(77, 1), 8);	     /* MDTS: 1 MiB */
	assert_int_equal(answer_at(78, 2), 0);	     /* CNTLID */
	assert_int_equal(answer_at(80, 4), 0x10400); /* VER */
	assert_int_equal(answer_at(92, 4), 1u << 8); /* OAES: namespaces */
	assert_int_equal(answer_at(111, 1), 1);	     /* CNTRLTYPE: I/O */
	assert_int_equal(answer_at(256, 2), 0);	     /* OACS: nothing, with the pin */
	assert_int_equal(answer_at(259, 1), KEPT_EVENTS - 1);
	assert_int_equal(answer_at(512, 1), 0x66);    /* SQES */
	assert_int_equal(answer_at(513, 1), 0x44);    /* CQES */
	assert_int_equal(answer_at(516, 4), 1);	      /* NN */
	assert_int_equal(answer_at(520, 2), 1u << 3); /* ONCS: write zeroes; this disk cannot punch */
	assert_int_equal(answer_at(522, 2), 0);	      /* FUSES */
	assert_int_equal(answer_at(525, 1), 7);	      /* VWC: there is one, all are flushed */
	assert_int_equal(answer_at(536, 4), 1);	      /* SGLS: at any address, nothing more */
	assert_memory_equal(ANSWER + 768, "nqn.2014-08.org.nvmexpress:uuid:", 32);
	assert_int_equal(strlen((char *)ANSWER + 768), 32 + 36);
	/* Nothing is written behind it. */
	assert_int_equal(answer_at(PAGE, 8), 0xa5a5a5a5a5a5a5a5);
	/* Doorbells in memory, with messages. */
	driver.has_vectors = true;
	assert_int_equal(identify(1, 0), NVME_SUCCESS);
	assert_int_equal(answer_at(256, 2), 0x100);
	end();
}

static void identify_namespace(void **state)
{
	begin();
	enable();
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(identify(0, i == 0 ? 1 : UINT32_MAX), NVME_SUCCESS);
		assert_int_equal(answer_at(0, 8), DISK_BYTES / 512);   /* NSZE */
		assert_int_equal(answer_at(8, 8), DISK_BYTES / 512);   /* NCAP */
		assert_int_equal(answer_at(16, 8), DISK_BYTES / 512);  /* NUSE */
		assert_int_equal(answer_at(24, 1) & 1u << 4, 1u << 4); /* NSFEAT: OPTPERF */
		assert_int_equal(answer_at(25, 1), 0);		       /* NLBAF: one */
		assert_int_equal(answer_at(26, 1), 0);		       /* FLBAS */
		assert_int_equal(answer_at(64, 2), 7);		       /* NPWG: 4 KiB */
		assert_int_equal(answer_at(99, 1), 0);		       /* NSATTR */
		assert_int_equal(answer_at(128, 4), 9 << 16);	       /* LBAF0: 512 bytes, no metadata */
	}
	assert_int_equal(identify(0, 0), REFUSED(NVME_INVALID_NAMESPACE));
	assert_int_equal(identify(0, 2), REFUSED(NVME_INVALID_NAMESPACE));
	end();
}

/* Blocks of 4 KiB, a disk that punches and is not written to. */
static void identify_another_disk(void **state)
{
	const struct disk_options options = { .guest = "bob", .name = "data", .read_only = true };
	struct held_disk *held = held_disk_create(DISK_BYTES, 4096);

	held->host.geometry.can_punch = true;
	begin_on(held, &options, 1);
	enable();
	assert_int_equal(identify(0, 1), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 8), DISK_BYTES / 4096);
	assert_int_equal(answer_at(64, 2), 0);
	assert_int_equal(answer_at(99, 1), 1);
	assert_int_equal(answer_at(128, 4), 12 << 16);
	assert_int_equal(identify(1, 0), NVME_SUCCESS);
	assert_int_equal(answer_at(520, 2), 1u << 3 | 1u << 2);
	end();
}

static void identify_lists(void **state)
{
	uint8_t uuid[16];

	begin();
	enable();
	assert_int_equal(identify(2, 0), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 4), 1);
	assert_int_equal(answer_at(4, 4), 0);
	assert_int_equal(identify(2, 1), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 4), 0);
	assert_int_equal(identify(2, 0xfffffffe), REFUSED(NVME_INVALID_NAMESPACE));
	assert_int_equal(identify(2, 0xffffffff), REFUSED(NVME_INVALID_NAMESPACE));
	assert_int_equal(identify(3, 1), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 4), 3 | 16 << 8);
	assert_int_equal(ANSWER[4 + 6] >> 4, 4);
	assert_int_equal(ANSWER[4 + 8] >> 6, 2);
	assert_int_equal(answer_at(20, 4), 0);
	memcpy(uuid, ANSWER + 4, sizeof(uuid));
	assert_int_equal(identify(3, 0), REFUSED(NVME_INVALID_NAMESPACE));
	assert_int_equal(identify(3, UINT32_MAX), REFUSED(NVME_INVALID_NAMESPACE));
	for (unsigned what = 4; what < 256; what++)
		assert_int_equal(identify((uint8_t)what, 1), REFUSED(NVME_INVALID_FIELD));
	/* It names the same disk after a reset. */
	set32(NVME_REG_CC, 0);
	enable();
	assert_int_equal(identify(3, 1), NVME_SUCCESS);
	assert_memory_equal(ANSWER + 4, uuid, sizeof(uuid));
	end();
}

/* An answer that is to go where no memory is; the others go nowhere either. */
static void answers_outside_of_memory(void **state)
{
	struct nvme_command command = admin(NVME_ADMIN_IDENTIFY, 1, 0);

	begin();
	enable();
	command.prp1 = OUTSIDE;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_DATA_TRANSFER_ERROR));
	command.prp1 = RAM_BASE + RAM_BYTES - PAGE + 4;
	command.prp2 = RAM_BASE + RAM_BYTES;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_DATA_TRANSFER_ERROR));
	command.prp1 = RAM_BASE + DATA_AT + 2;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_PRP_OFFSET_INVALID));
	command.prp1 = UINT64_MAX - 3;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_DATA_TRANSFER_ERROR));
	end();
}

static void commands_that_are_not_known(void **state)
{
	static const uint8_t known[] = { 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x7c };
	struct nvme_completion completion;
	unsigned unknown = 0;

	begin();
	enable();
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		if (memchr(known, (int)opcode, sizeof(known)))
			continue;
		assert_int_equal(run_status(ADMIN, admin((uint8_t)opcode, 0, 0)),
				 REFUSED(NVME_INVALID_OPCODE));
		unknown++;
	}
	assert_int_equal(unknown, 245);
	for (uint8_t fused = 1; fused < 4; fused++) {
		struct nvme_command command = admin(NVME_ADMIN_ABORT, 0, 0);

		command.flags = fused;
		assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_INVALID_FIELD));
	}
	/* "Not aborted": no command can be taken back. */
	completion = run(ADMIN, admin(NVME_ADMIN_ABORT, 1u << 16 | 1, 0));
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_int_equal(completion.result & 1, 1);
	end();
}

/* ---- features ---- */

static uint32_t get_feature(uint8_t feature, unsigned select, uint32_t cdw11)
{
	struct nvme_completion completion =
		run(ADMIN, admin(NVME_ADMIN_GET_FEATURES, select << 8 | feature, cdw11));

	assert_int_equal(status_of(completion), NVME_SUCCESS);
	return completion.result;
}

static uint16_t set_feature(uint8_t feature, uint32_t value)
{
	return run_status(ADMIN, admin(NVME_ADMIN_SET_FEATURES, feature, value));
}

struct feature_case {
	uint8_t number;
	uint32_t at_first, set, then;
};

static const struct feature_case features[] = {
	{ NVME_FEATURE_ARBITRATION, 0, 0x01020307, 0x01020307 },
	{ NVME_FEATURE_TEMPERATURE, 0xffff, 0x0155, 0x0155 },
	{ NVME_FEATURE_ERROR_RECOVERY, 0, 0x12345, 0x2345 },
	{ NVME_FEATURE_WRITE_CACHE, 1, 0, 0 },
	{ NVME_FEATURE_COALESCING, 0, 0x10203, 0x0203 },
	{ NVME_FEATURE_ATOMICITY, 0, 0xff, 1 },
	{ NVME_FEATURE_ASYNC_EVENTS, 0, 0x17f, 0x17f },
};

static void features_are_kept_until_a_reset(void **state)
{
	begin();
	enable();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
			const struct feature_case *feature = &features[i];

			assert_int_equal(get_feature(feature->number, 0, 0), feature->at_first);
			assert_int_equal(set_feature(feature->number, feature->set), NVME_SUCCESS);
			assert_int_equal(get_feature(feature->number, 0, 0), feature->then);
			/* Its default, what was saved (nothing), and that it can be changed. */
			assert_int_equal(get_feature(feature->number, 1, 0), feature->at_first);
			assert_int_equal(get_feature(feature->number, 2, 0), feature->at_first);
			assert_int_equal(get_feature(feature->number, 3, 0), 4);
			for (unsigned select = 4; select < 8; select++)
				assert_int_equal(run_status(ADMIN, admin(NVME_ADMIN_GET_FEATURES,
									 select << 8 | feature->number, 0)),
						 REFUSED(NVME_INVALID_FIELD));
			/* Nothing is saved. */
			assert_int_equal(run_status(ADMIN, admin(NVME_ADMIN_SET_FEATURES,
								 1u << 31 | feature->number, 0)),
					 REFUSED(NVME_FEATURE_NOT_SAVEABLE));
		}
		set32(NVME_REG_CC, 0);
		enable();
	}
	end();
}

static void features_of_several_values(void **state)
{
	begin();
	enable();
	/* Thresholds: over, under, and no third kind. */
	assert_int_equal(set_feature(NVME_FEATURE_TEMPERATURE, 1u << 20 | 0x100), NVME_SUCCESS);
	assert_int_equal(get_feature(NVME_FEATURE_TEMPERATURE, 0, 1u << 20), 0x100);
	assert_int_equal(get_feature(NVME_FEATURE_TEMPERATURE, 0, 0), 0xffff);
	assert_int_equal(set_feature(NVME_FEATURE_TEMPERATURE, 2u << 20), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(set_feature(NVME_FEATURE_TEMPERATURE, 3u << 20), REFUSED(NVME_INVALID_FIELD));
	for (uint32_t vector = 0; vector < 64; vector++)
		assert_int_equal(get_feature(NVME_FEATURE_VECTOR, 0, vector), vector);
	assert_int_equal(set_feature(NVME_FEATURE_VECTOR, 1u << 16 | 63), NVME_SUCCESS);
	assert_int_equal(get_feature(NVME_FEATURE_VECTOR, 0, 63), 1u << 16 | 63);
	assert_int_equal(set_feature(NVME_FEATURE_VECTOR, 64), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(set_feature(NVME_FEATURE_VECTOR, 0xffff), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(run_status(ADMIN, admin(NVME_ADMIN_GET_FEATURES, NVME_FEATURE_VECTOR, 64)),
			 REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(set_feature(NVME_FEATURE_POWER, 0), NVME_SUCCESS);
	assert_int_equal(set_feature(NVME_FEATURE_POWER, 1), REFUSED(NVME_INVALID_FIELD));
	for (unsigned feature = 0; feature < 256; feature++) {
		if (feature > 0 && feature <= NVME_FEATURE_ASYNC_EVENTS && feature != 3)
			continue;
		assert_int_equal(set_feature((uint8_t)feature, 0), REFUSED(NVME_INVALID_FIELD));
		for (unsigned select = 0; select < 4; select++)
			assert_int_equal(
				run_status(ADMIN, admin(NVME_ADMIN_GET_FEATURES, select << 8 | feature, 0)),
				REFUSED(NVME_INVALID_FIELD));
	}
	end();
}

static void number_of_queues(void **state)
{
	const uint32_t granted = (QUEUES - 2) << 16 | (QUEUES - 2);
	struct nvme_completion completion;

	begin();
	enable();
	completion = run(ADMIN, admin(NVME_ADMIN_SET_FEATURES, NVME_FEATURE_QUEUES, 0x00ff00ff));
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_int_equal(completion.result, granted);
	assert_int_equal(get_feature(NVME_FEATURE_QUEUES, 0, 0), granted);
	assert_int_equal(set_feature(NVME_FEATURE_QUEUES, 0xffff), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(set_feature(NVME_FEATURE_QUEUES, 0xffff0000), REFUSED(NVME_INVALID_FIELD));
	queue_init(1, 16, 16);
	assert_int_equal(run_status(ADMIN, create_cq(1, 16, 1)), NVME_SUCCESS);
	assert_int_equal(set_feature(NVME_FEATURE_QUEUES, 0), REFUSED(NVME_COMMAND_SEQUENCE));
	end();
}

/* ---- log pages ---- */

static uint16_t get_log(uint8_t log, uint32_t bytes, uint64_t offset)
{
	struct nvme_command command =
		admin(NVME_ADMIN_GET_LOG_PAGE, ((bytes / 4 - 1) & 0xffff) << 16 | log, (bytes / 4 - 1) >> 16);

	command.cdw12 = (uint32_t)offset;
	command.cdw13 = (uint32_t)(offset >> 32);
	memset(ANSWER, 0xa5, 2 * PAGE);
	return run_status(ADMIN, command);
}

static void health_log(void **state)
{
	begin_ready();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(run_status(1, io(NVME_IO_READ, 0, 1000, DATA_AT)), NVME_SUCCESS);
	assert_int_equal(run_status(1, io(NVME_IO_WRITE, 0, 1001, DATA_AT)), NVME_SUCCESS);
	assert_int_equal(get_log(NVME_LOG_HEALTH, 512, 0), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 1), 0);	/* no warning */
	assert_int_equal(answer_at(1, 2), 300); /* Kelvin */
	assert_int_equal(answer_at(3, 1), 100); /* spare */
	assert_int_equal(answer_at(32, 8), 3);	/* thousands of 512 bytes read */
	assert_int_equal(answer_at(40, 8), 0);
	assert_int_equal(answer_at(48, 8), 2); /* written, rounded up */
	assert_int_equal(answer_at(64, 8), 3); /* read commands */
	assert_int_equal(answer_at(80, 8), 1); /* write commands */
	assert_int_equal(answer_at(512, 4), 0xa5a5a5a5);
	/* A part of it. */
	assert_int_equal(get_log(NVME_LOG_HEALTH, 8, 64), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 8), 3);
	assert_int_equal(answer_at(8, 4), 0xa5a5a5a5);
	end();
}

static void logs_that_cannot_be_read(void **state)
{
	begin();
	enable();
	assert_int_equal(get_log(NVME_LOG_FIRMWARE, 512, 0), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 1), 1);
	assert_memory_equal(ANSWER + 8, "1       ", 8);
	assert_int_equal(get_log(NVME_LOG_ERRORS, 64, 0), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 8), 0);
	for (unsigned log = 0; log < 256; log++)
		if (log < NVME_LOG_ERRORS || log > NVME_LOG_NAMESPACES)
			assert_int_equal(get_log((uint8_t)log, 512, 0), REFUSED(NVME_INVALID_LOG_PAGE));
	assert_int_equal(get_log(NVME_LOG_HEALTH, 512, 1), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(get_log(NVME_LOG_HEALTH, 512, 4100), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(get_log(NVME_LOG_HEALTH, 512, UINT64_MAX - 3), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(get_log(NVME_LOG_HEALTH, 4100, 0), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(get_log(NVME_LOG_HEALTH, 0x10000000, 0), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(answer_at(0, 4), 0xa5a5a5a5);
	/* Zeroes behind its end. */
	assert_int_equal(get_log(NVME_LOG_HEALTH, 4096, 4096), NVME_SUCCESS);
	assert_int_equal(answer_at(0, 8), 0);
	assert_int_equal(get_log(NVME_LOG_HEALTH, 4096, 4092), NVME_SUCCESS);
	assert_int_equal(answer_at(4088, 8), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identify_controller),
		cmocka_unit_test(identify_namespace),
		cmocka_unit_test(identify_another_disk),
		cmocka_unit_test(identify_lists),
		cmocka_unit_test(answers_outside_of_memory),
		cmocka_unit_test(commands_that_are_not_known),
		cmocka_unit_test(features_are_kept_until_a_reset),
		cmocka_unit_test(features_of_several_values),
		cmocka_unit_test(number_of_queues),
		cmocka_unit_test(health_log),
		cmocka_unit_test(logs_that_cannot_be_read),
	};

	return cmocka_run_group_tests_name("nvme_admin", tests, NULL, NULL);
}
